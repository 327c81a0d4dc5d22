"""All measurements: prints a table, writes results.json and machine.json beside this file, and the table of the docs.

    python benchmarks/run.py [--bundle BUNDLE] [--only engine] [--model FILE.gguf] [--quick]

Each row is ours against its reference, measured in turn in this run; low and high are the quartiles of the rounds'
ratios. CPU time is that of one thread unless a row says otherwise. With --only, rows of other parts stay as they were.
With --model, the rows of engine and guard are of that file, under its name. With --quick, sizes and rounds are small,
to see that all of it runs, and nothing is written.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from machine import machine
from report import merged, read_rows, write_rows, write_table
from rows import HEAD, Row
from settings import Settings

from copersona.runtime.engine.llama import default_threads

PARTS = ("engine", "guard", "peers", "forward", "texts", "start", "growth")
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
HERE = Path(__file__).parent
DOCUMENT = HERE.parent / "docs" / "performance.md"
PICTURE = HERE.parent / "docs" / "growth.svg"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, help="an exported bundle, for the rows that open one")
    parser.add_argument("--only", action="append", choices=PARTS, help="one part; can be given several times")
    parser.add_argument("--model", type=Path, help="a GGUF for the engine's rows instead of one of random weights")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "copersona-benchmarks",
                        help="folder for what is made once, 0.6 GB, and for 3 GB meanwhile")  # fmt: skip
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    asked = parser.parse_args()
    for variable in ONE_THREAD:  # read once, when numpy is loaded, which no part has done yet
        os.environ.setdefault(variable, "1")
    os.environ |= {"OMP_WAIT_POLICY": "passive", "TOKENIZERS_PARALLELISM": "false"}
    asked.work.mkdir(parents=True, exist_ok=True)
    from copersona.runtime.assemble.assemble import whole_bundle  # loads numpy

    bundle = None if asked.bundle is None else whole_bundle(asked.bundle)
    picture = None if asked.quick else PICTURE
    settings = Settings(asked.work, asked.quick, bundle, default_threads(), picture, asked.model)
    described = machine()
    print(HEAD)
    done: list[Row] = []
    for row in measured(asked.only or PARTS, settings):
        done.append(row)
        print(row.line(), flush=True)
        if not asked.quick:  # after each row, so that a run that is stopped is not lost
            write_rows(asked.out, merged(read_rows(asked.out), done))
            asked.out.with_name("machine.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
            write_table(DOCUMENT, read_rows(asked.out), described)


def measured(parts: tuple[str, ...] | list[str], settings: Settings) -> Iterator[Row]:
    for part in parts:
        for row in importlib.import_module(part).rows(settings):
            named = settings.model if part in ("engine", "guard") else None
            yield row if named is None else replace(row, name=f"{named.stem}: {row.name}")


if __name__ == "__main__":
    sys.exit(main())
