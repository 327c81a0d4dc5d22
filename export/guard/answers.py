"""Answers to the questions of a set, each computed once: kept line by line, so that a kill loses the last few at most.

Greedy, short, as a persona or as nobody. A person's prompt is decoded once; their questions are asked behind it,
several at once.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.special import log_softmax

from copersona.export.common.files import room_for
from copersona.runtime.common.closing import Closing
from copersona.runtime.engine.sampling import Sampling
from copersona.runtime.engine.sequences import Generation, Sequences
from copersona.runtime.people.known import Known
from copersona.runtime.session.session import Session

GREEDY = Sampling(temperature=0, max_tokens=16)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer and the mean natural-log probability of its tokens, the end of the turn not counted."""

    text: str
    log: float


def reply_key(request: str, person: str | None, mode: str = "") -> str:
    """What a reply is kept under: who was asked what, and in which mode of the guard."""
    return hashlib.sha256(json.dumps([request, person, mode]).encode()).hexdigest()[:24]


class Replies(Closing):
    """The file of replies, JSON lines by key; what a kill left of a last line is cut off. Close it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._found: dict[str, Reply] = {}
        path.touch()
        whole = 0
        for line in path.read_bytes().splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break
            row = json.loads(line)
            key = row.pop("key")
            self._found[key] = Reply(**row)
            whole += len(line)
        os.truncate(path, whole)
        self._file = path.open("a", encoding="utf-8")

    def __getitem__(self, key: str) -> Reply:
        return self._found[key]

    def __contains__(self, key: str) -> bool:
        return key in self._found

    def add(self, rows: Iterable[tuple[str, Reply]]) -> None:
        """Keep replies; a kill does not lose them when this has returned."""
        with room_for(self.path):
            for key, reply in rows:
                self._found[key] = reply
                self._file.write(json.dumps({"key": key, **asdict(reply)}, ensure_ascii=False) + "\n")
            self._file.flush()

    def close(self) -> None:
        self._file.close()


def reply_all(session: Session, requests: Sequence[str], known: Known | None) -> Iterator[Reply]:
    """Replies to requests as one person, or as nobody, in order; as many at once as the session has sequences."""
    width = session.engine.sequences.count
    for at in range(0, len(requests), width):
        yield from _together(session, requests[at : at + width], known)


def _together(session: Session, requests: Sequence[str], known: Known | None) -> list[Reply]:
    """Replies of one batch. Each is begun by itself and then goes on beside the others."""
    engine = session.engine
    with ExitStack() as stack:
        begun = []
        for place, request in enumerate(requests):
            wanted = session.wanted(session.prompt(request, known), known, GREEDY, keep=False)
            generation = engine.sequences.begin(place, engine.task(None, wanted).start, GREEDY)
            stack.callback(generation.close)
            begun.append(_Growing(generation, engine.sequences))
            begun[-1].take(-1)
        while running := [one for one in begun if one.runs]:
            engine.sequences.step([one.generation for one in running])
            for row, one in enumerate(running):
                one.take(row)
    return [one.reply for one in begun]


class _Growing:
    """A generation, its text and the log-probabilities of its tokens so far."""

    def __init__(self, generation: Generation, sequences: Sequences) -> None:
        self.generation, self.runs = generation, True
        self._sequences, self._text, self._logs = sequences, list[str](), list[float]()

    def take(self, row: int) -> None:
        """The next token, from the logits at a place of the last batch."""
        logits = self._sequences.logits(row)
        piece = self.generation.take(row)
        if piece is None:
            self.runs = False
            return
        self._text.append(piece.text)
        self._logs.append(float(log_softmax(logits.astype(np.float64))[piece.token]))
        self.runs = not self.generation.full

    @property
    def reply(self) -> Reply:
        return Reply("".join(self._text).strip(), float(np.mean(self._logs)) if self._logs else 0.0)
