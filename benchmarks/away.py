"""Train on another machine that reaches no network and takes little at a time, such as a lent GPU.

    python benchmarks/away.py pack RUN BASE.gguf PIECES         here: run folder and base in pieces of 48 MB
    python benchmarks/away.py train PIECES PLAN.json OUT        there, once all pieces lie in PIECES
    python benchmarks/away.py collect OUT RUN NAME              here: the training NAME as that of RUN

RUN is a run folder of which everything up to `graph` is done (`copersona export graph RUN`). PLAN.json is a list of
rows {"name", "train": {...}, "context": {...}, "soft": true, "lora": true}: settings that differ from the run's. Rows
are trained side by side (--together); each leaves its adapter, its personalizer, its log and the losses of every
validation target in OUT, in files of at most 15 MB. Pieces may arrive in several goes: `train --wait` says which are
missing and ends. There is needed: torch, transformers, peft, tokenizers, safetensors, gguf, and this repository.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import lzma
import math
import multiprocessing
import sys
import tarfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

PIECE, SHARD = 48 << 20, 15 << 20
FILES = (
    "settings.json", "histories.jsonl", "splits.json", "items.json", "facets.json", "profiles.jsonl",
    "profiles.safetensors", "arrays.safetensors", "pseudonyms.json", "graph.sqlite", "peers.npy", "anchors.npy",
)  # fmt: skip
RUN, BASE = "run.tar.xz", "base.gguf"


def pack(run: Path, base: Path, pieces: Path) -> None:
    """Write the pieces and `pieces.json`, which names and hashes them."""
    pieces.mkdir(parents=True, exist_ok=True)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz", preset=6) as tar:
        for name in FILES:
            tar.add(run / name, arcname=name)
    index: dict[str, list[list[str]]] = {}
    for name, content in ((RUN, packed.getvalue()), (BASE, base.read_bytes())):
        index[name] = []
        for at in range(0, len(content), PIECE):
            part = content[at : at + PIECE]
            file = f"{name}.{at // PIECE:02d}"
            (pieces / file).write_bytes(part)
            index[name].append([file, hashlib.sha256(part).hexdigest()])
    (pieces / "pieces.json").write_text(json.dumps(index, indent=1))


def missing(pieces: Path) -> list[str]:
    """Pieces that are not there or not whole."""
    index = json.loads((pieces / "pieces.json").read_text())
    rows = [row for name in index for row in index[name]]
    return [file for file, digest in rows if not _is(pieces / file, digest)]


def _is(path: Path, digest: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest


def opened(pieces: Path, work: Path) -> Any:
    """The run of the pieces, unpacked into `work`, on the base of the pieces."""
    from copersona.export.convert.unpack import dequantise
    from copersona.export.run.run import Run, RunSettings

    index = json.loads((pieces / "pieces.json").read_text())
    joined = {name: b"".join((pieces / file).read_bytes() for file, _ in index[name]) for name in index}
    with tarfile.open(fileobj=io.BytesIO(lzma.decompress(joined[RUN]))) as tar:
        tar.extractall(work / "run", filter="data")
    (work / BASE).write_bytes(joined[BASE])
    if not (work / "base").exists():
        (work / "base.part").mkdir(exist_ok=True)
        dequantise(work / BASE, work / "base.part")
        (work / "base.part").rename(work / "base")
    text = (work / "run" / "settings.json").read_text()
    settings = replace(RunSettings.from_json(text, "settings.json"), base=str(work / "base"))
    run = Run(work / "run", settings)
    run.save_settings()
    return run


def train(pieces: Path, plan: Sequence[dict[str, Any]], out: Path, work: Path, together: int, validation: int) -> None:
    """All rows of the plan, `together` at a time; what is done is skipped."""
    from copersona.export.run.situations import run_targets

    run = opened(pieces, work)
    run.settings = replace(run.settings, train=replace(run.settings.train, validation=validation))
    targets = run_targets(run)
    print(f"{len(targets.training)} targets, {len(targets.validation)} of validation", flush=True)
    context = multiprocessing.get_context("fork")  # the targets are shared; nothing has touched CUDA yet
    todo = [row for row in plan if not (out / f"{row['name']}.json").exists()]
    running: list[Any] = []
    for row in todo:
        while len([p for p in running if p.is_alive()]) >= together:
            time.sleep(0.2)
        running.append(context.Process(target=train_row, args=(run, targets, row, out, work)))
        running[-1].start()
    for process in running:
        process.join()
    if any(process.exitcode for process in running):
        sys.exit("a row failed; see above")


def train_row(run: Any, targets: Any, row: dict[str, Any], out: Path, work: Path, **making: Any) -> None:
    """One row: trained, judged target by target, written to `out` in shards and at last as `NAME.json`."""
    import torch

    from copersona.export.run.run import Run
    from copersona.export.run.training import train_run
    from copersona.export.training.personalized import Switches

    begun = time.monotonic()
    torch.set_float32_matmul_precision("high")
    settings = replace(
        run.settings,
        train=replace(run.settings.train, **row.get("train", {})),
        context=replace(run.settings.context, **row.get("context", {})),
    )
    mine, folder = Run(run.folder, settings), work / row["name"]
    switches = Switches(soft=row.get("soft", True), lora=row.get("lora", True))
    trained = train_run(mine, targets, folder, switches=switches, **making)
    held = held_out(mine, row.get("judge", "validation"), row.get("people", 10_000))
    losses = judged(trained.trainer, held)
    for file in ("adapter/adapter_config.json", "adapter/adapter_model.safetensors", "personalizer.safetensors"):
        _shard(folder / "best" / file, out / row["name"])
    body = {"row": row, "result": asdict(trained.result), "log": (folder / "log.jsonl").read_text(), "losses": losses,
            "people": [s.state.person for s in held], "seconds": round(time.monotonic() - begun, 1)}  # fmt: skip
    (out / f"{row['name']}.json").write_text(json.dumps(body))
    bits = {name: sum(r[0] for r in rows) / sum(r[2] for r in rows) / math.log(2) for name, rows in losses.items()}
    print(
        row["name"],
        round(time.monotonic() - begun),
        {name: round(value, 4) for name, value in bits.items()},
        flush=True,
    )


def judged(trainer: Any, held: Sequence[Any]) -> dict[str, list[tuple[float, int, int]]]:
    """(nats, tokens, bytes) of each held-out target, whole, in every variant, by the best state."""
    import random

    import torch

    from copersona.export.training.examples import Situation, make_example
    from copersona.export.training.settings import ALONE, NOBODY

    def example(situation: Any, rates: Any = None) -> Any:
        drop = None if rates is None else random.Random(0)
        return make_example(situation, trainer.layout, trainer.encode, answer_tokens=4096, drop=drop,
                            rates=rates or trainer.settings.dropout)  # fmt: skip

    others = [*held[1:], *held[:1]]
    swapped = [Situation(s.state, s.target, o.history, o.persona) for s, o in zip(held, others, strict=True)]
    plain = [example(s) for s in held]
    rows = {
        "whole": plain,
        "nobody's soft prompt": [replace(e, inputs=None) for e in plain],
        "soft prompt alone": [example(s, replace(ALONE, persona=0.0, field=0.0)) for s in held],
        "nobody": [example(s, NOBODY) for s in held],
        "another's": [example(s) for s in swapped],
    }
    sizes = [len(s.target.output.encode()) for s in held]
    with torch.no_grad():
        return {
            name: [(nats, count, size) for (nats, count), size in zip(_losses(trainer.model, ex), sizes, strict=True)]
            for name, ex in rows.items()
        }


def _losses(model: Any, examples: Sequence[Any]) -> list[tuple[float, int]]:
    from copersona.export.training.personalizer import batch_personas

    model.eval()
    order = sorted(range(len(examples)), key=lambda i: len(examples[i].prompt) + len(examples[i].answer))
    done: dict[int, tuple[float, int]] = {}
    for at in range(0, len(order), 8):
        part = [examples[i] for i in order[at : at + 8]]
        inputs = [e.inputs for e in part]
        batch = batch_personas(inputs, model.personalizer.shape, model.personalizer.neighbors, model.device)
        values = model.token_losses(part, batch).tolist()
        for i, example in zip(order[at : at + 8], part, strict=True):
            count = len(example.answer)
            done[i], values = (sum(values[:count]), count), values[count:]
    return [done[i] for i in range(len(examples))]


def held_out(run: Any, which: str, limit: int) -> list[Any]:
    """Situations of the validation or test targets, of up to `limit` people; of test, new people's too."""
    from copersona.export.population.profile import State
    from copersona.export.run.situations import read_centring, run_graph, situations, validation_states

    if which == "validation":
        states = validation_states(run, limit)
    else:
        people = [p for p, split in run.splits.items() if split.held_out]
        states = [State(p, run.splits[p].seen + 1) for p in people[:: max(len(people) // limit, 1)][:limit]]
    with run_graph(run) as graph:
        return situations(run, states, graph, read_centring(run), which)


def _shard(path: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    content = path.read_bytes()
    for at in range(0, len(content), SHARD):
        (out / f"{path.name}.{at // SHARD:02d}").write_bytes(content[at : at + SHARD])


def collect(out: Path, run: Path, name: str) -> None:
    """Put the training `name` in the place of the run's own."""
    places = {
        "adapter_config.json": "adapter",
        "adapter_model.safetensors": "adapter",
        "personalizer.safetensors": ".",
    }
    for file, place in places.items():
        folder = run / "train" / "best" / place
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(b"".join(p.read_bytes() for p in sorted((out / name).glob(f"{file}.*"))))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("pack")
    for name in ("run", "base", "pieces"):
        one.add_argument(name, type=Path)
    one = commands.add_parser("train")
    for name in ("pieces", "plan", "out"):
        one.add_argument(name, type=Path)
    one.add_argument("--together", type=int, default=4)
    one.add_argument("--validation", type=int, default=200, help="people whose validation targets are judged")
    one.add_argument("--work", type=Path, default=Path("away-work"))
    one = commands.add_parser("collect")
    for name in ("out", "run"):
        one.add_argument(name, type=Path)
    one.add_argument("name")
    given = parser.parse_args()
    if given.command == "pack":
        pack(given.run, given.base, given.pieces)
    elif given.command == "collect":
        collect(given.out, given.run, given.name)
    elif lacking := missing(given.pieces):
        sys.exit(f"{given.pieces}: pieces still missing: {', '.join(lacking)}")
    else:
        given.out.mkdir(parents=True, exist_ok=True)
        train(given.pieces, json.loads(given.plan.read_text()), given.out, given.work, given.together, given.validation)


if __name__ == "__main__":
    main()
