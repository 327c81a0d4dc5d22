"""The recipe of the demo's base model: text, tokenizer, plan, training, folder, each kept in one working folder.

A rerun goes on where the last one stopped, with the plan of the first: the number of tokens is set once, from
`--tokens` or from the speed measured before the first step.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from copersona.export.base.card import model_card
from copersona.export.base.folder import CPU, GPU, Shape, new_model, save_folder
from copersona.export.base.pretrain import Pretraining, PretrainSettings, tokens_per_second
from copersona.export.base.stream import Corpus, Mix, Stream, build_stream
from copersona.export.base.text import BaseText
from copersona.export.base.tokenizer import train_tokenizer
from copersona.export.base.turns import Documents
from copersona.export.common.files import replacing, write_text
from copersona.export.convert.file_tokens import FileTokens
from copersona.export.training.kept import Kept, write_kept
from copersona.runtime.common.errors import ExportError

TOKENIZER_POSTS = 4  # every fourth post goes into the tokenizer's training
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is asked for; kept as `recipe.json` in the working folder. `tokens` is 0 until they are planned."""

    data: str
    tokens: int = 0
    shape: Shape = CPU
    mix: Mix = field(default_factory=Mix)
    train: PretrainSettings = field(default_factory=PretrainSettings)

    @classmethod
    def for_device(cls, data: str, device: str) -> Recipe:
        """The defaults for "cpu" or "gpu". A GPU sees more tokens than there is text: fewer of the scarce reviews."""
        if device == "cpu":
            return cls(data)
        mix = Mix(early=(0.80, 0.12, 0.08), late=(0.60, 0.30, 0.10))
        return cls(data, shape=GPU, mix=mix, train=PretrainSettings(batch=131_072, micro=32_768))

    @classmethod
    def read(cls, path: Path) -> Recipe:
        """Raises ExportError where the file is not a recipe."""
        try:
            body = json.loads(path.read_text(encoding="utf-8"))
            mix: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in body.pop("mix").items()}
            shape, train = Shape(**body.pop("shape")), PretrainSettings(**body.pop("train"))
            return cls(**body, shape=shape, mix=Mix(**mix), train=train)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ExportError(f"{path}: not a recipe of a base model ({error}); use a new folder") from error


def make_base(
    folder: Path,
    recipe: Recipe,
    *,
    hours: float | None,
    say: Say,
    text: BaseText | None = None,
    decay_now: bool = False,
) -> Path:
    """Train as the recipe says, or go on; returns the finished Hugging Face folder.

    Beside it stands `questions.jsonl`, what was learnt by heart, for `copersona export run --keep`.
    With `decay_now` the rest of the plateau is left out (see `Pretraining.run`).
    """
    folder.mkdir(parents=True, exist_ok=True)
    recipe = _stored(folder, recipe)
    text = BaseText(Path(recipe.data)) if text is None else text
    tokenizer = folder / "tokenizer.json"
    if not tokenizer.exists():
        say("tokenizer ...")
        train_tokenizer(tokenizer_texts(text), recipe.shape.vocabulary, tokenizer)
    write_kept(folder / "questions.jsonl", (Kept(q.text, q.answers[0]) for q in text.questions()))
    tokens = FileTokens(tokenizer)
    model = new_model(recipe.shape, tokens.size, recipe.train.seed)
    recipe = _planned(folder, recipe, model, hours, say)
    steps = recipe.train.steps(recipe.tokens)
    say(f"{model.num_parameters():,} parameters, {recipe.tokens:,} tokens in {steps:,} steps")
    stream = _stream(folder, text, tokens, recipe, say)
    training = Pretraining(model, stream, recipe.train, folder)

    def write(name: str) -> None:
        card = model_card(training, recipe)
        save_folder(model, tokenizer, folder / name, card)

    training.run(lambda: write("latest"), decay_now=decay_now)
    write("model")
    return folder / "model"


def tokenizer_texts(text: BaseText) -> list[str]:
    """What the tokenizer is trained on: a share of the posts, all reviews and requests, all questions."""
    posts = text.posts()[::TOKENIZER_POSTS]
    reviews = [part for history in text.histories() for item in history for part in (item.request(), item.output)]
    return [*posts, *reviews, *(f"{q.text}\n{q.answers[0]}" for q in text.questions())]


def _stored(folder: Path, recipe: Recipe) -> Recipe:
    """The recipe of the first call where there was one; the folder with the data may have moved since."""
    path = folder / "recipe.json"
    if not path.exists():
        return recipe
    found = Recipe.read(path)
    if recipe.tokens and recipe.train.steps(recipe.tokens) != found.train.steps(found.tokens):
        raise ExportError(f"{path}: was planned for {found.tokens:,} tokens; use a new folder for {recipe.tokens:,}")
    return replace(found, data=recipe.data)


def _planned(folder: Path, recipe: Recipe, model: Any, hours: float | None, say: Say) -> Recipe:
    """The recipe with its number of tokens in whole steps; kept in the folder when it is first made."""
    path = folder / "recipe.json"
    if path.exists():
        return recipe
    count = recipe.tokens
    if not count:
        if hours is None:
            raise ExportError("how long to train is missing: give --tokens or --hours")
        speed = tokens_per_second(model, recipe.train)
        say(f"{speed:,.0f} tokens a second")
        count = int(hours * 3600 * speed)
    planned = replace(recipe, tokens=recipe.train.steps(count) * recipe.train.batch)
    write_text(path, json.dumps(asdict(planned), indent=1))
    return planned


def _stream(folder: Path, text: BaseText, tokens: FileTokens, recipe: Recipe, say: Say) -> Stream:
    """The row of tokens, from the working folder where it was made before."""
    path = folder / "tokens.npy"
    if not path.exists():
        say("text to tokens ...")
        corpus = Corpus(text.posts(), text.histories(), text.questions())
        made = build_stream(corpus, Documents(tokens), recipe.tokens + 1, recipe.mix, recipe.train.seed)
        with replacing(path) as part, part.open("wb") as file:
            np.save(file, made)
    row: Stream = np.load(path)
    if len(row) != recipe.tokens + 1:
        raise ExportError(f"{path}: has {len(row):,} tokens, expected {recipe.tokens + 1:,}; remove it")
    return row
