"""One small export from each format that people bring, each through the commands that people use.

    python benchmarks/formats.py DATA --base DIR --encoder DIR --out FOLDER [--people 150]

DATA is the folder of shared data. Digital Music goes in with its metadata, Amazon 2023 as it is; the same reviews of
Musical Instruments are written in the form of LaMP's third task (questions, gold outputs beside them) and of DPL's
records first. Then, for each: `export run` for one epoch, `bundle verify`, `people import` of everyone, `ask` as
the first of them. Writes FOLDER/formats.json and prints a table. Goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from copersona.runtime.history.importers import load_history
from copersona.runtime.history.interactions import Interaction, group_by_person

QUESTION = (
    "What is the score of the following review on a scale of 1 to 5? just answer with 1, 2, 3, 4, or 5 without "
    "further explanation. review: "
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    for name in ("--base", "--encoder", "--out"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--people", type=int, default=150)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for name, options in sources(asked.data, asked.out).items():
        rows.append({"data": name, **one(name, options, asked)})
        print(json.dumps(rows[-1]), flush=True)
        (asked.out / "formats.json").write_text(json.dumps(rows, indent=1))
    print("\n| data | people | texts | training targets | bundle MB | verified | answered |\n|" + " --- |" * 7)
    for row in rows:
        values = (row[key] for key in ("data", "people", "texts", "targets", "megabytes", "verified", "words"))
        print(f"| {' | '.join(map(str, values))} |")


def sources(data: Path, out: Path) -> dict[str, list[str]]:
    """Name of each data set and the arguments that say where and what it is."""
    music, reviews = data / "amazon2014_digital_music_part.jsonl", data / "amazon2014_musical_instruments.jsonl"
    histories = group_by_person(load_history([reviews], "amazon2014").interactions)
    questions, records = out / "lamp" / "dev_questions.json", out / "dpl.jsonl"
    write_lamp(questions, list(histories.values())[:300])
    records.write_text("".join(json.dumps(dpl_record(history)) + "\n" for history in histories.values()))
    metadata = str(data / "amazon2014_digital_music_part_meta.jsonl")
    return {
        "Digital Music, metadata": [str(music), "--format", "amazon2014", "--metadata", metadata],
        "Amazon 2023": [str(data / "amazon2023_multicategory.jsonl"), "--format", "amazon2023"],
        "LaMP 3": [str(questions), "--format", "lamp"],
        "DPL records": [str(records), "--format", "dpl"],
    }


def write_lamp(questions: Path, histories: Sequence[Sequence[Interaction]]) -> None:
    """Questions and gold outputs of LaMP's third task: the latest review's score is asked for."""
    questions.parent.mkdir(exist_ok=True)
    asked, golds = [], []
    for number, history in enumerate(histories):
        *earlier, last = history
        profile = [
            {"id": f"{number}{place}", "text": item.output, "score": f"{item.rating:g}"}
            for place, item in enumerate(earlier)
        ]
        asked.append({"id": str(number), "input": QUESTION + last.output, "profile": profile})
        golds.append({"id": str(number), "output": f"{last.rating:g}"})
    questions.write_text(json.dumps(asked))
    questions.with_name("dev_outputs.json").write_text(json.dumps({"task": "LaMP_3", "golds": golds}))


def dpl_record(history: Sequence[Interaction]) -> dict[str, Any]:
    *profile, last = ({"rating": i.rating, "title": i.title, "text": i.output, "asin": i.item, "timestamp": i.time}
                      for i in history)  # fmt: skip
    return {"user_id": history[0].person, "profile": profile, "data": last}


def one(name: str, options: Sequence[str], asked: argparse.Namespace) -> dict[str, Any]:
    """One export and one answer from its bundle; what fails ends the benchmark with the command's own words."""
    run = asked.out / name.lower().replace(" ", "-").replace(",", "")
    home = {**os.environ, "COPERSONA_HOME": str(run / "home")}
    limits = ["--limit-people", str(asked.people), "--epochs", "1", "--soft-tokens", "8"]
    models = ["--base", str(asked.base), "--encoder", str(asked.encoder)]
    steps = json.loads(call(["export", "run", *options, *models, *limits, "--out", str(run), "--json"], home))
    reports = {step["step"]: step["report"] for step in steps}
    bundle = str(run / "bundle")
    call(["bundle", "verify", bundle], home)
    call(
        ["people", "import", bundle, str(run / "histories.jsonl"), "--enrolled-as", str(run / "pseudonyms.json")], home
    )
    known = json.loads((run / "histories.jsonl").read_text().split("\n", 1)[0])["person"]
    answer = call(["ask", bundle, "--person", known, "--max-tokens", "64", "Write a review."], home)
    return {
        "people": reports["prepare"]["people"],
        "texts": reports["prepare"]["interactions"],
        "targets": reports["train"]["targets"],
        "megabytes": reports["bundle"]["megabytes"],
        "seconds": round(sum(step["seconds"] for step in steps), 1),
        "verified": "yes",
        "words": f"{len(answer.split())} words",
    }


def call(arguments: Sequence[str], environment: dict[str, str]) -> str:
    command = [sys.executable, "-m", "copersona.runtime", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
