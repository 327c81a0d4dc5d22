"""States of prefixes in memory, bounded in bytes, and for a person of the store on disk behind it."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from copersona.runtime.engine.llama_context import State
from copersona.runtime.people.prefix_files import PrefixFiles

MB = 1 << 20


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """Most bytes of prefixes' states in memory and on disk; 0 keeps none there."""

    memory: int = 256 * MB
    disk: int = 512 * MB


class PrefixMemory:
    """States by key, each with the person it is of (None: nobody); the least recently used go first."""

    def __init__(self, limit: int) -> None:
        self._limit, self.bytes = limit, 0
        self._states: OrderedDict[str, tuple[str | None, State]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._states)

    def get(self, key: str) -> State | None:
        """The state, now the most recently used."""
        if key not in self._states:
            return None
        self._states.move_to_end(key)
        return self._states[key][1]

    def put(self, key: str, person: str | None, state: State) -> None:
        """Keep a state if it fits the limit at all."""
        self.drop(key)
        if state.nbytes > self._limit:
            return
        self._states[key] = (person, state)
        self.bytes += state.nbytes
        while self.bytes > self._limit:
            self.drop(next(iter(self._states)))

    def drop(self, key: str) -> None:
        """Forget a state; it is no error if it is not there."""
        if key in self._states:
            self.bytes -= self._states.pop(key)[1].nbytes

    def forget(self, person: str) -> None:
        """Forget all states of a person."""
        for key in [key for key, (owner, _) in self._states.items() if owner == person]:
            self.drop(key)


class PersonShelf:
    """Where the states of one person (None: nobody) are kept: in memory, and in `files` up to `disk` bytes in all.

    A `sequences.Shelf`. With `disk` 0 the files are read and nothing is written.
    """

    def __init__(
        self, memory: PrefixMemory, person: str | None = None, files: PrefixFiles | None = None, disk: int = 0
    ) -> None:
        self._memory, self._person, self._files, self._disk = memory, person, files, disk

    def get(self, key: str) -> State | None:
        """The state from memory, or from disk and from then on in memory."""
        found = self._memory.get(key)
        if found is None and self._files is not None and self._person is not None:
            found = self._files.read(self._person, key)
            if found is not None:
                self._memory.put(key, self._person, found)
        return found

    def put(self, key: str, state: State) -> None:
        """Keep a state in both."""
        self._memory.put(key, self._person, state)
        if self._files is not None and self._person is not None and self._disk:
            self._files.write(self._person, key, state, self._disk)

    def drop(self, key: str) -> None:
        """Forget a state in both."""
        self._memory.drop(key)
        if self._files is not None and self._person is not None:
            self._files.drop(self._person, key)
