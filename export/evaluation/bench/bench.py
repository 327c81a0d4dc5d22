"""What the methods of an evaluation share: opened bundles, personas once made, other people's reviews, a writer.

Sessions are opened by the runtime's `open_bundle`, one at a time; what a person is known as comes from
`Session.know` and is remembered as long as the files that it depends on are the same.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np

from copersona.export.common.files import sha256
from copersona.export.evaluation.bench.bits import Alphabet, Unigram, fit_unigram
from copersona.export.run.run import Run
from copersona.runtime.chat.ledger import Ledger
from copersona.runtime.common.arrays import F32
from copersona.runtime.common.closing import Closing
from copersona.runtime.common.errors import ExportError
from copersona.runtime.engine.engine import build_info
from copersona.runtime.history.interactions import History, Interaction
from copersona.runtime.people.known import Known
from copersona.runtime.profile.profiler import VERSION as PROFILER_VERSION
from copersona.runtime.session.session import Session, open_bundle

T = TypeVar("T")
TRAINED, BASE = "trained", "base"
KEYED = ("facets", "encoder", "encoder_tokenizer", "graph", "peers", "anchors", "arrays", "personalizer")
VALIDATION = 100  # people whose validation text sets the unigram model's strength


class Bench(Closing):
    """Bundles by name, of which `trained` is the one that is evaluated and `base` has the untrained base in it.

    `writer` is a language model for what methods have one write; None: a statistical writer stands in.
    """

    def __init__(
        self,
        run: Run,
        bundles: Mapping[str, Path],
        *,
        threads: int | None = None,
        writer: Ledger | None = None,
        seed: int = 0,
    ) -> None:
        self.run, self.bundles, self.writer, self.seed = run, dict(bundles), writer, seed
        self._threads = threads
        self._open: tuple[str, Session] | None = None
        self._known: dict[str, Known] = {}
        self._alphabets: dict[str, Alphabet] = {}
        self._made: dict[tuple[Hashable, ...], object] = {}

    def close(self) -> None:
        """Close the bundle that is open."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def session(self, model: str = TRAINED, context: Mapping[str, Any] | None = None) -> Session:
        """The bundle of this name with changes of its context settings; the one opened before is closed.

        Raises:
            ExportError: there is no bundle of this name.
        """
        wanted = json.dumps([model, dict(context or {})], sort_keys=True)
        if self._open is not None and self._open[0] == wanted:
            return self._open[1]
        if model not in self.bundles:
            raise ExportError(f"no bundle {model!r} has been made; known: {', '.join(self.bundles)}")
        self.close()
        opened = open_bundle(self.bundles[model], threads=self._threads, context=context)
        self._open = (wanted, opened)
        return opened

    def once(self, make: Callable[[], T], *key: Hashable) -> T:
        """What `make` gives, made the first time that this key is asked for; the key begins with the asking function's
        name, so that one key always has one type."""
        if key not in self._made:
            self._made[key] = make()
        return cast(T, self._made[key])

    def know(self, session: Session, history: History, pseudonym: str | None) -> Known:
        """`Session.know`, remembered."""
        rows = (session.manifest.file(role) for role in KEYED)
        digests = (one.digest for one in history)
        parts = [*(row.sha256 for row in rows if row), *session.context.persona, pseudonym, *digests]
        key = json.dumps(parts)
        if key not in self._known:
            self._known[key] = session.know(history, pseudonym=pseudonym)
        return self._known[key]

    def alphabet(self, session: Session) -> Alphabet:
        """The alphabet of the session's model; models with the same number of tokens here share their tokenizer."""
        key = str(session.engine.vocabulary_size)
        if key not in self._alphabets:
            self._alphabets[key] = Alphabet.of(session.engine, session.layout.turns.end)
        return self._alphabets[key]

    @cached_property
    def basis(self) -> list[str]:
        """What every value depends on beside bundle and method: who was asked what, the engine, the profiler."""
        asked = [sha256(self.run.path(name)) for name in ("histories.jsonl", "splits.json")]
        return [*asked, build_info(), str(PROFILER_VERSION)]

    @cached_property
    def others(self) -> Mapping[str, list[tuple[str, Interaction]]]:
        """Item to who wrote what of it: training people by pseudonym, their interactions before validation."""
        found: dict[str, list[tuple[str, Interaction]]] = defaultdict(list)
        for person, history in self.run.training_histories.items():
            for item in history:
                if item.item is not None:
                    found[item.item].append((self.run.pseudonyms[person], item))
        return found

    @cached_property
    def by_pseudonym(self) -> Mapping[str, History]:
        """Histories of training people before validation."""
        return {self.run.pseudonyms[person]: history for person, history in self.run.training_histories.items()}

    def vector(self, text: str) -> F32:
        """The unit vector of a text by the shipped encoder, (E,)."""
        return self.run.encode(text)

    def unigram(self, session: Session) -> Unigram:
        """The adaptive unigram reference over the session's tokens."""
        return self.once(lambda: self._fit_unigram(session), "unigram")

    def _fit_unigram(self, session: Session) -> Unigram:
        answer, run = session.layout.answer, self.run
        texts = [answer(item.output) for history in run.training_histories.values() for item in history]
        held = [p for p in run.people if run.splits[p].held_out][:VALIDATION]
        validation = [
            ([answer(i.output) for i in run.training_histories[p]], answer(run.histories[p][run.splits[p].seen].output))
            for p in held
        ]
        return fit_unigram(texts, validation, session.engine.vocabulary_size, self.alphabet(session))

    def draw(self, *names: object) -> np.random.Generator:
        """A generator that depends on the seed and these names alone."""
        digest = np.frombuffer(json.dumps([self.seed, *map(str, names)]).encode(), np.uint8)
        return np.random.default_rng(digest)
