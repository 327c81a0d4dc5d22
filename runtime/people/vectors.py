"""Vectors of what a person wrote: each text encoded once, remembered in memory and, with the person, in their store.

A kept vector is known by the hashes of its text and of its encoder, so that neither can change unnoticed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

import numpy as np

from copersona.runtime.common.arrays import F32
from copersona.runtime.common.progress import track
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.profile.profiler import Encode
from copersona.runtime.prompt.retrieval import document
from copersona.runtime.prompt.settings import Show

if TYPE_CHECKING:
    from copersona.runtime.people.store import PeopleStore

REMEMBERED = 50_000  # texts in memory; the oldest go first

SAID = 100  # texts to encode from which on it is said how far it is
AT_ONCE = 32  # vectors that are kept in one write


class Vectors:
    """An encoder that remembers. Calling it gives the unit vector of a text, (E,) float32."""

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self._found: dict[str, F32] = {}

    def __call__(self, text: str) -> F32:
        found = self._found.get(text)
        return self._remember(text, self._encode(text)) if found is None else found

    def recall(
        self, texts: Sequence[str], store: PeopleStore, person: str, encoder: str, revision: int | None = None
    ) -> None:
        """Have the vectors of a person's texts at hand: read from the store, or encoded and kept there as they come, so
        that who stops it goes on from there. Many of them are said on stderr.

        `encoder` is the hash of the encoder that this was made with, `revision` as in `KeptWithPeople`.

        Raises:
            PersonError: the store cannot be read or written.
        """
        wanted = {_digest(text): text for text in texts if text not in self._found}
        if not wanted:
            return
        kept = store.vectors(person, encoder)
        for digest in wanted.keys() & kept.keys():
            self._remember(wanted[digest], np.frombuffer(kept[digest], dtype="<f4").astype(np.float32))
        missing = [digest for digest in wanted if digest not in kept]
        made: dict[str, bytes] = {}
        try:
            for digest in track(missing, f"{person}: encoding texts") if len(missing) >= SAID else missing:
                made[digest] = self(wanted[digest]).astype("<f4").tobytes()
                if len(made) >= AT_ONCE:
                    store.keep_vectors(person, encoder, made, revision)
                    made = {}
        finally:
            if made:
                store.keep_vectors(person, encoder, made, revision)

    def forget(self) -> None:
        """Drop what is remembered here."""
        self._found.clear()

    def _remember(self, text: str, vector: F32) -> F32:
        if len(self._found) >= REMEMBERED:
            del self._found[next(iter(self._found))]
        self._found[text] = vector
        return vector


def vector_keys(text: Interaction) -> set[str]:
    """Under which hashes vectors of this text may be kept, however it was shown."""
    return {_digest(document(text, show)) for show in get_args(Show)}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
