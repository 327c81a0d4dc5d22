"""What sentence encoders are worth to a bundle, beside each other: size, parity, speed, people told apart.

    copersona export run HISTORIES --base BASE --encoder ENCODER --out RUN --until graph
    python benchmarks/encoders.py RUN [RUN ...] [--sentences N] [--json OUT]

* megabytes of what depends on the encoder in a bundle; peers and anchors in float16, as a thin bundle has them
* cosine of the int8 encoder against sentence-transformers, sentences of the first run one at a time
* the same sentences a second of CPU time, one thread, the encoders in turn sentence by sentence
* same-person AUC of each facet and of all together, as the step `discover` found it
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from copersona.export.common.figures import report_lines
from copersona.export.convert.encoder import encoder_parity
from copersona.export.measure.parity import sample_sentences
from copersona.export.run.run import Run
from copersona.export.steps.pipeline import read_marker

FILES = ("encoder.onnx", "encoder_tokenizer.json", "graph.sqlite")
HALVED = ("peers.npy", "anchors.npy")  # float32 in a run folder


def sizes(run: Run) -> dict[str, float]:
    """Megabytes by part; of those that the run has made."""
    found = {name: run.path(name).stat().st_size / 1e6 for name in FILES if run.path(name).is_file()}
    halved = [np.load(run.path(name), mmap_mode="r").size * 2 / 1e6 for name in HALVED if run.path(name).is_file()]
    found |= {"peers and anchors": sum(halved)} if halved else {}
    return {name: round(size, 1) for name, size in found.items()}


def speeds(runs: Sequence[Run], sentences: Sequence[str]) -> list[float]:
    """Sentences a second of CPU time by the encoder of each run."""
    spent = [0.0] * len(runs)
    for run in runs:
        run.encoder.encode(sentences[0])
    for sentence in sentences:
        for place, run in enumerate(runs):
            begun = time.process_time()
            run.encoder.encode(sentence)
            spent[place] += time.process_time() - begun
    return [round(len(sentences) / seconds, 1) for seconds in spent]


def main() -> None:
    """Read the command line, print the figures of each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--sentences", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    runs = [Run.open(folder) for folder in given.runs]
    sentences, found = sample_sentences(runs[0], given.sentences), {}
    for run, speed in zip(runs, speeds(runs, sentences), strict=True):
        discovered = read_marker(run, "discover")
        found[run.folder.name] = {
            "encoder": Path(run.settings.encoder).name,
            "MB": sizes(run),
            "sentences a CPU second": speed,
            "cosine with sentence-transformers": encoder_parity(Path(run.settings.encoder), run.encoder, sentences),
            "same-person AUC": {} if discovered is None else discovered.report["same-person AUC"],
        }
    for name, row in found.items():
        print(name, *report_lines(row), sep="\n")
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
