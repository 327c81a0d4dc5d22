"""Several generations at once, continuously: one that has ended makes room for the next.

A new one is decoded by itself up to its first token, as it would be alone; from there on all that run share each step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from copersona.runtime.common.errors import ModelRefused
from copersona.runtime.engine.sampling import Piece, Sampling
from copersona.runtime.engine.sequences import Generation, Sequences, Start

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Task(Generic[T]):
    """One of several generations; `tag` is the caller's."""

    tag: T
    start: Start
    sampling: Sampling


Running: TypeAlias = tuple[Generation, T, list[Piece]]


def run_together(
    sequences: Sequences, tasks: Iterable[Task[T] | tuple[T, ModelRefused]]
) -> Iterator[tuple[T, list[Piece] | ModelRefused]]:
    """Generate for all tasks, as many at once as the context has sequences; each is given when it has ended, and the
    next one takes its place. A task that is refused is given with its error."""
    waiting, free = iter(tasks), list(range(sequences.count))[::-1]
    running: list[Running[T]] = []
    try:
        while True:
            yield from _begin(sequences, waiting, free, running)
            if not running:
                return
            if free:  # nothing is waiting
                _close_gaps(sequences, running)
                taken = {generation.sequence for generation, _, _ in running}
                free = [number for number in range(sequences.count) if number not in taken]
            sequences.step([generation for generation, _, _ in running])
            ends = [_advance(generation, row, pieces) for row, (generation, _, pieces) in enumerate(running)]
            done = [(one, ended) for one, ended in zip(running, ends, strict=True) if ended is not None]
            running = [one for one, ended in zip(running, ends, strict=True) if ended is None]
            for (generation, _, _), _ in done:
                generation.close()
                free.append(generation.sequence)
            yield from ((tag, ended) for (_, tag, _), ended in done)
    finally:
        for generation, _, _ in running:
            generation.close()


def _begin(
    sequences: Sequences,
    waiting: Iterator[Task[T] | tuple[T, ModelRefused]],
    free: list[int],
    running: list[Running[T]],
) -> Iterator[tuple[T, list[Piece] | ModelRefused]]:
    """Begin tasks while sequences are free, moving them to `running`; gives those that are refused or end at once."""
    while free and (task := next(waiting, None)) is not None:
        if not isinstance(task, Task):
            yield task
            continue
        generation = sequences.begin(free[-1], task.start, task.sampling)
        pieces: list[Piece] = []
        ended = _advance(generation, -1, pieces)
        if ended is None:
            free.pop()
            running.append((generation, task.tag, pieces))
            running.sort(key=lambda one: one[0].sequence)  # neighbours are decoded in one go
        else:
            generation.close()
            yield task.tag, ended


def _close_gaps(sequences: Sequences, running: list[Running[T]]) -> None:
    """Have those that run stand side by side: the last one goes on where the first gap is, until there is none.

    llama.cpp decodes in one go, reading the weights once, only what stands in sequences that follow each other.
    """
    while (last := running[-1][0]).sequence - running[0][0].sequence >= len(running):
        taken = {generation.sequence for generation, _, _ in running}
        gap = next(n for n in range(running[0][0].sequence, last.sequence) if n not in taken)
        if not sequences.move(last, gap):
            return
        running.sort(key=lambda one: one[0].sequence)


def _advance(generation: Generation, row: int, pieces: list[Piece]) -> list[Piece] | ModelRefused | None:
    """Take a piece: None where the generation goes on, else what came of it."""
    try:
        piece = generation.take(row)
    except ModelRefused as error:
        return error
    if piece is None:
        return pieces
    pieces.append(piece)
    return pieces if generation.full else None
