"""What a guard costs: first tokens and decoding in a context that reads layers and moves one, against one without.

As in `engine.py`, at the shape of Qwen2.5-0.5B or of a real model; the layer stands at 0.85 of the depth.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from engine import ANSWER, CONTEXT, SMALL, TOGETHER, drawn, people, speed
from rows import Row, compare, cpu_ms
from settings import Settings
from shapes import write_model

from copersona.runtime.engine.engine import Engine, Sampling, Wanted
from copersona.runtime.engine.wanted import Act, Watch


def rows(settings: Settings) -> Iterator[Row]:
    path = settings.model or settings.work / ("small.gguf" if settings.quick else "qwen2.5-0.5b-shape.gguf")
    if settings.model is None:
        write_model(path, SMALL if settings.quick else None)
    with ExitStack() as stack:
        plain, guarded = (stack.enter_context(_engine(path, reads)) for reads in (False, True))
        asked = drawn(plain, 0, 0)
        yield compare("first token, guarded against not, CPU ms", settings.rounds(15),
                      lambda: cpu_ms(lambda: next(guarded.answer(watched(guarded, asked)))),
                      lambda: cpu_ms(lambda: next(plain.answer(asked))), "ratio <= 1.03")  # fmt: skip
        short = asked._replace(tokens=asked.tokens[:24], sampling=Sampling(0, 1.0, ANSWER + 8))
        yield compare("decoding, steered against not guarded, tokens a CPU second", settings.rounds(9),
                      lambda: speed(guarded.answer(watched(guarded, short))), lambda: speed(plain.answer(short)),
                      "ratio >= 0.93")  # fmt: skip
    with _engine(path, False, TOGETHER) as plain, _engine(path, True, TOGETHER) as guarded:
        jobs = people(plain)
        steered_jobs = [(number, watched(guarded, wanted)) for number, wanted in jobs]
        yield compare(f"{TOGETHER} at once, steered against not guarded, CPU ms", settings.rounds(7),
                      lambda: cpu_ms(lambda: list(guarded.generate_many(steered_jobs))),
                      lambda: cpu_ms(lambda: list(plain.generate_many(jobs))), "ratio <= 1.03")  # fmt: skip


def _engine(path: Path, reads: bool, sequences: int = 1) -> Engine:
    return Engine(path, n_ctx=CONTEXT if sequences == 1 else 256, threads=1, sequences=sequences, reads=reads)


def watched(engine: Engine, wanted: Wanted) -> Wanted:
    """The same, steered so little that the answer has as many tokens."""
    layer = round(0.85 * engine.facts.layers)
    shift = np.random.default_rng(5).normal(0, 1e-3, engine.width).astype(np.float32)
    return wanted._replace(watch=Watch(min(layer, engine.facts.layers - 1), lambda state: Act("shift", shift)))
