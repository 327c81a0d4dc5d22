"""What a person's files for other programs lose against the runtime: bits per byte of held-out texts, side by side.

    python benchmarks/elsewhere.py RUN [--people 24]

RUN is a finished run. Each person's held-out text is scored by the runtime; by the model of `persona export --as
gguf-rows`, opened as it stands; with the text of `--as text` as instruction and no soft prompt; and without any of it.
A slot holds the runtime's own state (tests/runtime/elsewhere), so it is not scored again. Prints the means, each minus
the runtime's with a 95 % interval over people, and by how much a log-probability of the rows differs at most.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from jinja2.sandbox import ImmutableSandboxedEnvironment

from copersona.export.common.statistics import mean_interval
from copersona.export.run.run import Run
from copersona.runtime.assemble.assemble import whole_bundle
from copersona.runtime.bundle.verify import open_manifest
from copersona.runtime.common.arrays import F64
from copersona.runtime.common.progress import track
from copersona.runtime.elsewhere.files import system_prompt, write_files
from copersona.runtime.engine.engine import Engine
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people.known import Known
from copersona.runtime.session.session import Session, open_bundle

LONGEST = 256  # tokens of a text that are scored, so that it fits behind each prompt


def wanted(session: Session, target: Interaction) -> tuple[int, ...]:
    return session.layout.answer(target.output)[:LONGEST]


def by_the_runtime(session: Session, known: Known, target: Interaction) -> F64:
    prompt = session.prompt(target.request(), known)
    return session.engine.score(known.soft, prompt.tokens, wanted(session, target))


def by_rows(session: Session, known: Known, target: Interaction, folder: Path) -> F64:
    write_files(session, known, "gguf-rows", folder)
    with Engine(folder / "model.gguf", n_ctx=session.engine.context) as engine:
        template = ImmutableSandboxedEnvironment().from_string(engine.facts.chat_template)
        messages = [{"role": "user", "content": target.request()}]
        text = template.render(messages=messages, add_generation_prompt=True)
        tokens = engine.vocabulary.tokenize(text, control=True)
        return engine.score(None, tokens, wanted(session, target))


def by_words(session: Session, target: Interaction, instruction: str | None) -> F64:
    rows = [("system", session.layout.text(instruction))] if instruction else []
    rows.append(("user", session.layout.text(target.request())))
    tokens = session.layout.turns.conversation(rows, session.layout.blank)
    return session.engine.score(None, tokens, wanted(session, target))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--people", type=int, default=24)
    asked = parser.parse_args()
    run = Run.open(asked.run)
    people = [name for name, split in run.splits.items() if split.held_out]
    people = people[:: max(len(people) // asked.people, 1)][: asked.people]
    found: dict[str, list[float]] = {"runtime": [], "gguf-rows": [], "text": [], "nothing": []}
    most = 0.0
    bundle = whole_bundle(run.bundle) if open_manifest(run.bundle).thin else run.bundle
    with open_bundle(bundle) as session, tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(track(people, "people")):
            *history, target = run.histories[name]
            known = session.know(tuple(history), pseudonym=run.pseudonyms.get(name))
            scores = {
                "runtime": by_the_runtime(session, known, target),
                "gguf-rows": by_rows(session, known, target, Path(folder) / str(number)),
                "text": by_words(session, target, system_prompt(session, known)),
                "nothing": by_words(session, target, None),
            }
            (Path(folder) / str(number) / "model.gguf").unlink()
            size = len(session.engine.detokenize(wanted(session, target)).encode("utf-8"))
            for way, logs in scores.items():
                found[way].append(float(-logs.sum() / np.log(2) / size))
            most = max(most, float(np.abs(scores["gguf-rows"] - scores["runtime"]).max()))
    columns = {way: np.array(values) for way, values in found.items()}
    minus = {f"{way} minus runtime": mean_interval(columns[way] - columns["runtime"]) for way in list(columns)[1:]}
    means = {way: round(float(column.mean()), 4) for way, column in columns.items()}
    print(
        json.dumps({"people": len(people), "mean": means, **minus, "rows, most": round(most, 5)}, indent=1, default=str)
    )


if __name__ == "__main__":
    main()
