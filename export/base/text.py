"""The text that the demo's base model is trained on, and what of it is held out.

Sources lie in one data folder: blog posts, reviews in three files, WebQuestions pairs. Of reviews only what training
people wrote before validation is used (the splits of `copersona export run` with its default seed), of posts all but
the lines in `assets/base/validation.json`, of questions those in `assets/base/questions.json`. A text that equals a
held-out one is left out too. Knows nothing of tokens.
"""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from copersona.export.data.items import attach_words, item_table
from copersona.export.data.splits import Splits, make_splits, seen_history, training_people
from copersona.runtime.common.errors import ExportError
from copersona.runtime.history.importers import load_history
from copersona.runtime.history.interactions import History, clean_text, group_by_person

POSTS = "english_blog_text.jsonl.xz"
QUESTIONS = "qa/webquestions_trainmodel.json"
LISTS = Path(__file__).resolve().parents[2] / "assets" / "base"
SEED = 0  # of the splits; the default of `copersona export run`
SHORT = 40  # characters below which two people may well have written the same


@dataclass(frozen=True, slots=True)
class ReviewFile:
    """One file of reviews in the data folder."""

    name: str
    format: str
    metadata: str | None = None


REVIEWS = (
    ReviewFile("amazon2014_musical_instruments.jsonl", "amazon2014"),
    ReviewFile("amazon2014_digital_music_part.jsonl", "amazon2014", "amazon2014_digital_music_part_meta.jsonl"),
    ReviewFile("amazon2023_multicategory.jsonl", "amazon2023"),
)


@dataclass(frozen=True, slots=True)
class Question:
    """A factual question; the first of its answers is learnt, any of them counts."""

    id: str
    text: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class People:
    """The histories of one file with item words, and their splits."""

    histories: Mapping[str, History]
    splits: Splits

    def training_histories(self) -> dict[str, History]:
        """Training people's interactions before validation."""
        return {p: seen_history(self.histories, self.splits, p) for p in training_people(self.splits)}

    def held_out(self) -> Iterator[str]:
        """Every text that no training may see: new people's, and everyone's validation and test."""
        for person, history in self.histories.items():
            split = self.splits[person]
            yield from (item.output for item in (history if split.new else history[split.seen :]))


class BaseText:
    """All text of one data folder. Parts are read when first asked for."""

    def __init__(self, folder: Path, lists: Path = LISTS) -> None:
        self.folder, self._lists = Path(folder), lists

    @cached_property
    def reviews(self) -> tuple[People, ...]:
        """Of each review file, in the order of REVIEWS."""
        return tuple(map(self._people, REVIEWS))

    def _people(self, file: ReviewFile) -> People:
        metadata = None if file.metadata is None else self._path(file.metadata)
        loaded = load_history([self._path(file.name)], file.format, metadata=metadata)
        histories = group_by_person(loaded.interactions)
        splits = make_splits(histories, SEED)
        seen = {p: seen_history(histories, splits, p) for p in training_people(splits)}
        return People(attach_words(histories, splits, item_table(seen)), splits)

    @cached_property
    def held_out(self) -> frozenset[str]:
        """Hashes of held-out texts long enough to be someone's own."""
        texts = [text for people in self.reviews for text in people.held_out()] + self.validation_posts
        return frozenset(digest(text) for text in texts if len(text) >= SHORT)

    def histories(self) -> list[History]:
        """What training people of all files wrote before validation, without copies of held-out texts."""
        rows = (history for people in self.reviews for history in people.training_histories().values())
        kept = [tuple(item for item in history if digest(item.output) not in self.held_out) for history in rows]
        return [history for history in kept if history]

    def posts(self) -> list[str]:
        """Blog posts to train on, in the order of the file."""
        held = set(self.validation_lines)
        posts = (text for line, text in enumerate(self._posts) if line not in held)
        return [text for text in posts if digest(text) not in self.held_out]

    def everything(self) -> Iterator[str]:
        """Every post and every review, held out or not, to look for copies in."""
        yield from self._posts
        yield from (item.output for people in self.reviews for h in people.histories.values() for item in h)

    @property
    def validation_posts(self) -> list[str]:
        return [self._posts[line] for line in self.validation_lines]

    @cached_property
    def validation_lines(self) -> tuple[int, ...]:
        """Lines of the blog file that are held out, counted from 0."""
        lines = tuple(int(line) for line in self._list("validation.json")["blog_lines"])
        if lines and max(lines) >= len(self._posts):
            raise ExportError(
                f"{self.folder / POSTS}: has {len(self._posts)} lines, but line {max(lines)} is held out; "
                "this is another file than the one the recipe was written for"
            )
        return lines

    @cached_property
    def _posts(self) -> list[str]:
        path = self._path(POSTS)
        try:
            with lzma.open(path, "rt", encoding="utf-8") as lines:
                return [clean_text(json.loads(line)["text"]) for line in lines]
        except (OSError, lzma.LZMAError, ValueError, KeyError, TypeError) as error:
            raise ExportError(f"{path}: not JSON lines with 'text', compressed by xz ({error})") from error

    def questions(self) -> list[Question]:
        """The questions to be learnt by heart, in the order of the list."""
        path = self._path(QUESTIONS)
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
            found = {
                r["qId"]: Question(r["qId"], clean_text(r["qText"]), tuple(map(clean_text, r["answers"]))) for r in rows
            }
        except (ValueError, KeyError, TypeError) as error:
            raise ExportError(f"{path}: not a list of questions with qId, qText and answers ({error})") from error
        wanted = [str(one) for one in self._list("questions.json")["ids"]]
        missing = [one for one in wanted if one not in found]
        if missing:
            raise ExportError(f"{path}: has no question {missing[0]}, which {self._lists / 'questions.json'} lists")
        return [found[one] for one in wanted]

    def _list(self, name: str) -> dict[str, list[int | str]]:
        path = self._lists / name
        try:
            body: dict[str, list[int | str]] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ExportError(f"{path}: cannot be read ({error}); it belongs to the repository") from error
        return body

    def _path(self, name: str) -> Path:
        path = self.folder / name
        if not path.is_file():
            raise ExportError(f"{path}: is missing; --data is a folder that holds {POSTS}, qa/ and the review files")
        return path


def digest(text: str) -> str:
    """Hash of a text, white space aside."""
    return hashlib.sha256(" ".join(text.split()).encode("utf-8", "surrogatepass")).hexdigest()
