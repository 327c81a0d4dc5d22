"""Whether a base model is good enough to build on: figures on text that no training of the recipe saw.

* bits per byte of held-out posts, and of training people's validation reviews after nobody's prompt, after the same
  person's earlier interactions, and after a stranger's; paired over people
* bits per byte late in a window against early in it, paired over windows
* questions learnt by heart, by greedy decoding; of a finished bundle, asked as nobody, these alone
* three samples for prompts of our own, and whether they hold eight words in a row of anyone's

Values a text are kept, without the text, so that models measured at different times are compared in pairs.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from copersona.export.base.score import (
    ANSWER,
    BANDS,
    answer,
    is_right,
    packed_windows,
    right_answers,
    score_alone,
    score_answers,
    score_bands,
)
from copersona.export.base.text import BaseText
from copersona.export.common.figures import Figures
from copersona.export.common.files import sha256, write_text
from copersona.export.common.statistics import mean_interval
from copersona.export.convert.gguf import write_gguf
from copersona.export.data.splits import Splits
from copersona.runtime.common.errors import ExportError
from copersona.runtime.common.progress import track
from copersona.runtime.engine.chat_template import model_turns
from copersona.runtime.engine.engine import Engine, Sampling
from copersona.runtime.history.interactions import History, render_input
from copersona.runtime.prompt.layout import Layout
from copersona.runtime.prompt.settings import ContextSettings
from copersona.runtime.session.session import open_bundle

CONTEXT = ContextSettings(budget=384, recent=4)
ASKED = 300
SAMPLES = (
    render_input(item="a ukulele for beginners", rating=5, title="Lovely little thing"),
    render_input(item="a guitar strap", rating=2, title="Broke in a week"),
    "What did you do on your last free day?",
)
RUN = 8  # words in a row that would count as someone else's


@dataclass(frozen=True, slots=True)
class Held:
    """The text that is measured on, the same for every model."""

    posts: tuple[str, ...]
    histories: tuple[History, ...]  # interactions before validation, then the validation one
    text: BaseText


def held_text(text: BaseText, posts: int, people: int) -> Held:
    """Held-out posts in order, and validation interactions of training people of the first review file, by hash."""
    source = text.reviews[0]
    names = [p for p, split in source.splits.items() if not split.new and split.held_out]
    names.sort(key=lambda p: hashlib.sha256(p.encode()).digest())
    histories = (_to_validation(source.histories, source.splits, person) for person in names[:people])
    return Held(tuple(text.validation_posts[:posts]), tuple(histories), text)


def _to_validation(histories: Mapping[str, History], splits: Splits, person: str) -> History:
    return histories[person][: splits[person].seen + 1]


@contextmanager
def opened(path: Path) -> Iterator[Engine]:
    """An engine on a Hugging Face folder, in float32, or on a GGUF as it is."""
    with tempfile.TemporaryDirectory() as scratch:
        model = path
        if path.is_dir():
            model = Path(scratch) / "model.gguf"
            write_gguf(path, model, "f32")
        with Engine(model, exact=True) as engine:
            yield engine


def weights_hash(path: Path) -> str:
    """Hash of the weights of a folder or a GGUF, or of a bundle's manifest. Raises ExportError where there are none."""
    file = path / "manifest.json" if is_bundle(path) else path / "model.safetensors" if path.is_dir() else path
    if not file.is_file():
        raise ExportError(f"{file}: is missing; give a Hugging Face folder, a GGUF or a bundle")
    return sha256(file)


def is_bundle(path: Path) -> bool:
    return (path / "manifest.json").is_file()


def measure_bundle(path: Path, held: Held) -> Figures:
    """The questions, asked of a finished bundle as nobody in particular: what training and quantising left of them."""
    questions = held.text.questions()[:ASKED]
    with open_bundle(path) as session:
        said = [session.answer(q.text, None, ANSWER).finish().text for q in track(questions, "questions")]
    return {"questions": share_right([is_right(one, q) for one, q in zip(said, questions, strict=True)])}


def share_right(right: Sequence[bool]) -> Figures:
    return {"right": sum(right), "asked": len(right), "share": round(float(np.mean(right)), 4)}


def measure_base(path: Path, held: Held) -> tuple[Figures, dict[str, list[float]]]:
    """Figures of one model, and its values a text."""
    with opened(path) as engine:
        layout = Layout(engine, CONTEXT, model_turns(engine))
        engine.end_at(layout.turns.end)
        values = {"blog": score_alone(engine, held.posts), **_reviews(engine, layout, held)}
        early, late = score_bands(engine, packed_windows(engine, held.posts, BANDS[-1][1]))
        right = right_answers(engine, layout, held.text.questions()[:ASKED])
        samples = [answer(engine, layout.prompt(one).tokens, Sampling(seed=7, max_tokens=90)) for one in SAMPLES]
    figures: Figures = {"bits per byte": {name: round(float(v.mean()), 5) for name, v in values.items()}}
    figures["own minus stranger"] = mean_interval(values["own"] - values["stranger"])
    figures["own minus nobody"] = mean_interval(values["own"] - values["nobody"])
    names = [f"positions {first} to {last}" for first, last in BANDS]
    figures["positions"] = {name: round(float(v.mean()), 5) for name, v in zip(names, (early, late), strict=True)}
    figures["late minus early"] = mean_interval(late - early)
    figures["questions"] = share_right(right)
    figures["samples"] = [{"prompt": p, "written": s} for p, s in zip(SAMPLES, samples, strict=True)]
    figures["copied runs of words"] = copied_runs(samples, held.text)
    return figures, {name: column.tolist() for name, column in values.items()}


def _reviews(engine: Engine, layout: Layout, held: Held) -> dict[str, Any]:
    """Validation interactions after nobody's prompt, after own earlier ones, after the next person's."""
    targets = [history[-1] for history in held.histories]
    before = [history[:-1][-CONTEXT.recent :] for history in held.histories]
    shifted = [*before[1:], *before[:1]]
    nothing: list[History] = [()] * len(targets)
    values = {}
    for name, shown in (("nobody", nothing), ("own", before), ("stranger", shifted)):
        prompts = [layout.prompt(t.request(), recent=b).tokens for t, b in zip(targets, shown, strict=True)]
        values[name] = score_answers(engine, prompts, [target.output for target in targets])
    return values


def copied_runs(samples: Sequence[str], text: BaseText) -> int:
    """How many runs of RUN words of the samples stand in the text of anyone, case and white space aside."""
    wanted = {
        " ".join(words[i : i + RUN])
        for words in (sample.casefold().split() for sample in samples)
        for i in range(len(words) - RUN + 1)
    }
    found: set[str] = set()
    for one in track(text.everything(), "texts searched"):
        plain = " ".join(one.casefold().split())
        found.update(run for run in wanted if run in plain)
    return len(found)


def measure_all(models: Mapping[str, Path], held: Held, out: Path) -> Figures:
    """Measure those whose weights are not in `out` yet, then compare every later model with the first in pairs."""
    kept: Figures = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {}
    for name, path in models.items():
        key = f"{weights_hash(path)}:{len(held.posts)}:{len(held.histories)}"
        if kept.get(name, {}).get("key") != key:
            figures, values = (measure_bundle(path, held), {}) if is_bundle(path) else measure_base(path, held)
            kept[name] = {"key": key, "figures": figures, "values": values}
            write_text(out, json.dumps(kept, ensure_ascii=False))
    first, *others = models
    result: Figures = {name: kept[name]["figures"] for name in models}
    for name in others:
        result[f"{name} minus {first}"] = {
            part: mean_interval(np.array(kept[name]["values"][part]) - np.array(kept[first]["values"][part]))
            for part in kept[first]["values"]
            if part in kept[name]["values"]
        }
    return result
