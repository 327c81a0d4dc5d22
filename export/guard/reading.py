"""What the layers of a bundle's model hold at a request and an answer.

Layers are counted as `engine/layers.py` does. The last one is left out: what it puts out is what is said, and
llama.cpp computes only some of its rows.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from copersona.export.common.vectors import VectorFile
from copersona.export.guard.answers import GREEDY
from copersona.export.guard.asking import Asking, Outcome
from copersona.runtime.common.arrays import F32
from copersona.runtime.common.closing import Closing
from copersona.runtime.common.errors import ModelError
from copersona.runtime.engine.engine import Engine, Wanted
from copersona.runtime.engine.layers import Meet
from copersona.runtime.engine.wanted import Watch
from copersona.runtime.session.session import Session


class Reader(Closing):
    """The model of a session opened once more, for reading. A person's prompt is decoded once by either. Close it."""

    def __init__(self, session: Session, asking: Asking, threads: int | None) -> None:
        self._asking = asking
        self.engine = Engine(
            session.bundle.path("model"),
            n_ctx=session.bundle.context_length,
            threads=threads,
            sequences=session.engine.sequences.count,
            any_model=not session.manifest.trained,
            reads=True,
        )
        self.engine.end_at(session.layout.turns.end)
        self.layers = self.engine.facts.layers - 1

    def close(self) -> None:
        self.engine.close()

    def rows(self, request: str, person: str | None, after: Sequence[int] = (), last: int = 1) -> F32:
        """What the layers put out at the last tokens of a prompt and what stands after it: (layers, last, H)."""
        found: list[list[F32]] = [[] for _ in range(self.layers)]
        wanted = self._asking.wanted(request, person)
        wanted = wanted._replace(tokens=(*wanted.tokens, *after))
        with self._meeting(range(self.layers), lambda layer, first, rows: found[layer].append(rows)):
            self.engine.sequences.begin(0, self.engine.task(None, wanted).start, GREEDY).close()
        return np.stack([np.concatenate(parts)[-last:] for parts in found])

    def watched(self, one: Outcome, watch: Watch) -> Wanted:
        """The persona's answer, decided on at the last token of its prompt, with nobody's prompt beside it."""
        request = one.case.request
        return self._asking.wanted(request, one.case.person)._replace(
            watch=watch, other=self._asking.wanted(request, None)
        )

    def _meeting(self, layers: Collection[int], meet: Meet) -> AbstractContextManager[None]:
        if self.engine.layers is None:
            raise ModelError("the layers of this model cannot be read")
        return self.engine.layers.meeting(layers, meet)


class States(Closing):
    """What the layers put out at the last token of prompts, read once and kept in a file. Close it."""

    def __init__(self, path: Path, bundle: str, reader: Reader) -> None:
        self._reader = reader
        self._file = VectorFile(path, bundle, self._read)

    def close(self) -> None:
        self._file.close()

    def of(self, outcomes: Sequence[Outcome], *, persona: bool = True) -> F32:
        """Of the requests of outcomes, asked of their persona or of nobody: (N, layers, H)."""
        keys = [json.dumps([one.case.request, one.case.person if persona else None]) for one in outcomes]
        return np.stack([self._file(key) for key in keys]).reshape(len(keys), self._reader.layers, -1)

    def _read(self, key: str) -> F32:
        request, name = json.loads(key)
        return self._reader.rows(request, name).ravel()
