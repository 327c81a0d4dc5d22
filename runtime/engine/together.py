"""Several generations at once, continuously: new ones begin while others run, and each can be stopped.

A new one is decoded by itself up to its first token, as it would be alone; from there on all that run share each step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, TypeAlias, TypeVar

from copersona.runtime.common.closing import Closing
from copersona.runtime.common.errors import ModelRefused
from copersona.runtime.engine.sampling import Piece, Sampling
from copersona.runtime.engine.sequences import Generation, Prefix, Sequences, Start

T = TypeVar("T")

End: TypeAlias = Literal["stop", "length"] | ModelRefused
"""Why a generation ended: the model did, nothing may follow, or it was refused."""


@dataclass(frozen=True, slots=True)
class Task(Generic[T]):
    """One of several generations; `tag` is the caller's, `grammar` (GBNF) what its text may be."""

    tag: T
    start: Start
    sampling: Sampling
    grammar: str | None = None


class Advance(NamedTuple, Generic[T]):
    """What one step made of one generation: a piece, None where the model ended or was refused; `end` None where it
    goes on."""

    tag: T
    piece: Piece | None
    end: End | None


class Together(Closing, Generic[T]):
    """The generations that run at once in the sequences of one context. Close it, or use it in a `with`."""

    def __init__(self, sequences: Sequences) -> None:
        self._sequences = sequences
        self._running: list[tuple[Generation, T]] = []  # by rising sequence: neighbours are decoded in one go

    def __len__(self) -> int:
        return len(self._running)

    @property
    def tags(self) -> list[T]:
        """Of those that run."""
        return [tag for _, tag in self._running]

    @property
    def full(self) -> bool:
        """Whether no sequence is free."""
        return len(self._running) == self._sequences.count

    def begin(self, task: Task[T]) -> Advance[T]:
        """Begin a generation in a free sequence, up to its first token. One that has ended with it runs no more.

        Raises:
            ModelRefused: a grammar that cannot be read, or what decides on it refuses it.
            ModelError: llama.cpp cannot decode.
        """
        place = self._place(task.start.prefix)
        generation = self._sequences.begin(place, task.start, task.sampling, task.grammar)
        try:
            advance = _advance(generation, task.tag, -1)
        except BaseException:
            generation.close()
            raise
        if advance.end is None:
            self._running.append((generation, task.tag))
            self._running.sort(key=lambda one: one[0].sequence)
        else:
            generation.close()
        return advance

    def step(self) -> list[Advance[T]]:
        """One more token of each; those that have ended run no more. Raises ModelError where llama.cpp cannot."""
        if not self._running:
            return []
        if not self.full:
            self._close_gaps()
        self._sequences.step([generation for generation, _ in self._running])
        advances = [_advance(generation, tag, row) for row, (generation, tag) in enumerate(self._running)]
        ended = [advance.end is not None for advance in advances]
        for (generation, _), over in zip(self._running, ended, strict=True):
            if over:
                generation.close()
        self._running = [one for one, over in zip(self._running, ended, strict=True) if not over]
        return advances

    def stop(self, tag: T) -> None:
        """End a generation now: its sequence is free. It is no error if it has ended."""
        for generation, other in self._running:
            if other == tag:
                generation.close()
        self._running = [one for one in self._running if one[1] != tag]

    def close(self) -> None:
        """End all of them."""
        for generation, _ in self._running:
            generation.close()
        self._running = []

    def _place(self, prefix: Prefix | None) -> int:
        """A free sequence beside those that run or between them: one that holds the prefix, else the one that was left
        alone for longest, so that others keep theirs."""
        taken = [generation.sequence for generation, _ in self._running]
        free = [n for n in range(self._sequences.count) if n not in taken]
        if taken:
            free = [n for n in free if taken[0] - 1 <= n <= taken[-1] + 1]
        held = (n for n in free if prefix is not None and self._sequences.begins_with(n, prefix))
        return next(held, min(free, key=self._sequences.begun.__getitem__))

    def _close_gaps(self) -> None:
        """Have those that run stand side by side: the last one goes on where the first gap is, until there is none.

        llama.cpp decodes in one go, reading the weights once, only what stands in sequences that follow each other.
        """
        while (last := self._running[-1][0]).sequence - self._running[0][0].sequence >= len(self._running):
            taken = {generation.sequence for generation, _ in self._running}
            gap = next(n for n in range(self._running[0][0].sequence, last.sequence) if n not in taken)
            if not self._sequences.move(last, gap):
                return
            self._running.sort(key=lambda one: one[0].sequence)


class _Kept(Generic[T]):
    """A caller's tag, and the pieces so far."""

    def __init__(self, tag: T) -> None:
        self.tag, self.pieces = tag, list[Piece]()


def run_together(
    sequences: Sequences, tasks: Iterable[Task[T] | tuple[T, ModelRefused]]
) -> Iterator[tuple[T, list[Piece] | ModelRefused]]:
    """Generate for all tasks, as many at once as the context has sequences; each is given when it has ended, and the
    next one takes its place. A task that is refused is given with its error."""
    waiting = iter(tasks)
    with Together[_Kept[T]](sequences) as together:
        while True:
            while not together.full and (task := next(waiting, None)) is not None:
                if not isinstance(task, Task):
                    yield task
                    continue
                begun = Task(_Kept(task.tag), task.start, task.sampling, task.grammar)
                try:
                    advance = together.begin(begun)
                except ModelRefused as error:
                    advance = Advance(begun.tag, None, error)
                yield from _ended([advance])
            if not len(together):
                return
            yield from _ended(together.step())


def _ended(advances: Iterable[Advance[_Kept[T]]]) -> Iterator[tuple[T, list[Piece] | ModelRefused]]:
    """Keep the pieces, and give what has ended."""
    for kept, piece, end in advances:
        if piece is not None:
            kept.pieces.append(piece)
        if end is not None:
            yield kept.tag, end if isinstance(end, ModelRefused) else kept.pieces


def _advance(generation: Generation, tag: T, row: int) -> Advance[T]:
    """Take a piece from the logits at a place of the last batch."""
    try:
        piece = generation.take(row)
    except ModelRefused as error:
        return Advance(tag, None, error)
    if piece is None:
        return Advance(tag, None, "stop")
    return Advance(tag, piece, "length" if generation.full else None)
