"""The language model at the shape of Qwen2.5-0.5B (random weights), or a real one: first tokens, decoding, kept
beginnings, batches.

One thread, except for wall time. A known person's beginning comes from memory each time, as after someone else's
request. "Nobody at all" is the request alone: no soft prompt, no instruction, nothing kept.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rows import Row, compare, cpu_ms, in_turn, row, wall_ms
from settings import Settings
from shapes import Shape, write_model

from copersona.runtime.engine.engine import Engine, Prefix, Sampling, Wanted
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people.store import PeopleStore
from copersona.runtime.session.prefix_cache import PersonShelf, PrefixMemory

SOFT, REQUEST, CONTEXT = 20, 300, 1_024  # tokens
TOGETHER, ANSWER = 8, 48
GREEDY = Sampling(0, 1.0, 1)
SMALL = Shape(layers=2, vocabulary=2_000)
NOTHING = PersonShelf(PrefixMemory(0))  # keeps no state


def rows(settings: Settings) -> Iterator[Row]:
    path = settings.model or settings.work / ("small.gguf" if settings.quick else "qwen2.5-0.5b-shape.gguf")
    if settings.model is None:
        write_model(path, SMALL if settings.quick else None)
    with Engine(path, n_ctx=CONTEXT, threads=1) as engine:
        yield from first_tokens(engine, settings)
        yield from restores(engine, settings)
        yield decoding(engine, path, settings)
        yield from against_llama_bench(engine, path, settings)
    yield from together(path, settings)


def drawn(engine: Engine, tokens: int, seed: int) -> Wanted:
    """A person's soft prompt, `tokens` of theirs and a request, greedy."""
    rng = np.random.default_rng(seed)
    soft = rng.normal(0, 0.02, (SOFT, engine.width)).astype(np.float32)
    return Wanted(soft, rng.integers(3, engine.vocabulary_size, tokens + REQUEST).tolist(), GREEDY)


def first_token(engine: Engine, wanted: Wanted) -> float:
    """CPU milliseconds from the request to its first token."""
    return cpu_ms(lambda: next(engine.generate(wanted.soft, wanted.tokens, GREEDY, prefix=wanted.prefix)))


def first_tokens(engine: Engine, settings: Settings) -> Iterator[Row]:
    """With a beginning of the soft prompt alone and with 500 tokens more, and that computed each time."""
    shelf, request = PersonShelf(PrefixMemory(1 << 28)), drawn(engine, 0, 0)
    short = request._replace(prefix=Prefix(0, "short", shelf))
    long = drawn(engine, 500, 1)
    kept = long._replace(prefix=Prefix(500, "long", shelf))
    anew = long._replace(prefix=Prefix(500, "never kept", NOTHING))
    nobody = request._replace(soft=None)
    cases = {"nobody": nobody, "short": short, "anew": anew, "kept": kept}
    for wanted in cases.values():
        first_token(engine, wanted)  # what can be kept is kept
    found = in_turn(settings.rounds(15), {name: lambda w=w: first_token(engine, w) for name, w in cases.items()})
    what = f"first token of a {REQUEST}-token request, CPU ms"
    yield row(f"{what}: {SOFT} kept, against nobody at all", found["short"], found["nobody"], "ratio <= 1.02")
    yield row(f"{what}: {SOFT + 500} kept, against nobody", found["kept"], found["nobody"], "ratio <= 1.15")
    yield row(f"{what}: {SOFT + 500} kept, against computed", found["kept"], found["anew"], "ratio <= 0.5")


def restores(engine: Engine, settings: Settings) -> Iterator[Row]:
    """A kept beginning of 520 tokens into the context, from memory against a copy of its bytes, from disk (its check
    included) against a plain read of the same file."""
    wanted, key, length = drawn(engine, 500, 2), "0" * 64, SOFT + 500
    with tempfile.TemporaryDirectory() as home, PeopleStore(Path(home) / "people.sqlite") as store:
        store.add([Interaction("p", "A text.")])
        kept = PersonShelf(PrefixMemory(1 << 28), "p", store.prefixes, 1 << 28)
        first_token(engine, wanted._replace(prefix=Prefix(500, key, kept)))
        file = next(store.prefixes.folder.rglob("*.state"))
        from_disk = PersonShelf(PrefixMemory(0), "p", store.prefixes)
        copy = np.empty_like(kept.get(key))

        def restore(shelf: PersonShelf) -> None:
            state = shelf.get(key)
            assert state is not None
            assert engine._context.restore(0, state, length)

        for name, shelf, plain, must in (
            ("memory, against a copy", kept, lambda: np.copyto(copy, kept.get(key)), "value <= 3 ms"),
            ("disk, against a plain read", from_disk, file.read_bytes, "value <= 10 ms"),
        ):
            yield compare(f"restore {length} tokens from {name}, CPU ms", settings.rounds(40),
                          lambda s=shelf: cpu_ms(lambda: restore(s)), lambda p=plain: cpu_ms(p), must)  # fmt: skip
    engine.sequences.clear()


def decoding(engine: Engine, path: Path, settings: Settings) -> Row:
    """Tokens a CPU second against llama-cpp-python's own class, greedy, after the same 24 tokens, one thread."""
    import llama_cpp

    theirs = llama_cpp.Llama(str(path), n_ctx=CONTEXT, n_threads=1, n_threads_batch=1, verbose=False)
    ids = np.random.default_rng(3).integers(3, engine.vocabulary_size, 24).tolist()

    def reference() -> float:
        theirs.reset()
        return speed(theirs.generate(ids, temp=0.0, repeat_penalty=1.0))

    ours = lambda: speed(engine.generate(None, ids, Sampling(0, 1.0, ANSWER + 8)))
    found = compare("decoding against llama_cpp.Llama, tokens a CPU second", settings.rounds(9), ours, reference,
                    "ratio >= 0.98")  # fmt: skip
    theirs.close()
    return found


def against_llama_bench(engine: Engine, path: Path, settings: Settings) -> Iterator[Row]:
    """The same against llama.cpp's own tool where it is installed; by the clock, as that is what the tool tells."""
    tool = shutil.which("llama-bench")
    if tool is None:
        print("left out: llama-bench is not on the PATH")
        return
    command = [tool, "-m", str(path), "-p", "0", "-n", str(ANSWER), "-t", "1", "-r", "1", "-o", "json"]

    def reference() -> float:
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return float(json.loads(found)[0]["avg_ts"])

    ours = lambda: speed(engine.generate(None, [3], Sampling(0, 1.0, ANSWER + 8)), wall_ms)
    yield compare("decoding against llama-bench, tokens a second, one thread", settings.rounds(5), ours, reference, "")


def speed(pieces: Iterator[Any], clock: Callable[[Callable[[], Any]], float] = cpu_ms) -> float:
    """Tokens a second of this clock after the first."""
    next(pieces)
    return ANSWER / clock(lambda: [next(pieces) for _ in range(ANSWER)]) * 1e3


def together(path: Path, settings: Settings) -> Iterator[Row]:
    """Eight people at once against one after the other, from requests to answers; beginnings kept."""
    for name, threads, clock, must in (
        ("tokens a CPU second", 1, cpu_ms, "ratio >= 1.3"),
        ("tokens a second, all cores", settings.threads, wall_ms, "ratio >= 2.5"),
    ):
        with (
            Engine(path, n_ctx=256, threads=threads) as one,
            Engine(path, n_ctx=256, threads=threads, sequences=TOGETHER) as eight,
        ):
            jobs = {engine: people(engine) for engine in (one, eight)}

            def answers(engine: Engine, jobs: Any = jobs) -> list[int]:
                found = dict(engine.generate_many(jobs[engine]))
                return [piece.token for number in sorted(found) for piece in found[number]]

            assert answers(one) == answers(eight)
            tokens = len(answers(one))
            if clock is wall_ms:
                yield in_steps(one, eight, settings)
            yield compare(f"{TOGETHER} people at once, {name}", settings.rounds(7),
                          lambda a=answers, e=eight, c=clock, n=tokens: n / c(lambda: a(e)) * 1e3,
                          lambda a=answers, e=one, c=clock, n=tokens: n / c(lambda: a(e)) * 1e3, must)  # fmt: skip


def in_steps(one: Engine, eight: Engine, settings: Settings) -> Row:
    """What decoding alone gives, without requests to read and tokens to choose: the most that the row after it can."""
    length = 64

    def speed(engine: Engine) -> float:
        context, numbers = engine._context, np.arange(engine.sequences.count, dtype=np.int32)
        for number in numbers:
            context.trim(number, length)
        at = np.full(len(numbers), length, np.int32)
        return len(numbers) / wall_ms(lambda: context.step(numbers + 3, at, numbers)) * 1e3

    for engine in (one, eight):
        engine.sequences.clear()
        for number in range(engine.sequences.count):
            engine._context.tokens(number, np.arange(3, 3 + length, dtype=np.int32), 0, "none")
    found = compare(f"{TOGETHER} sequences in a step, nothing chosen, tokens a second, all cores", settings.rounds(40),
                    lambda: speed(eight), lambda: speed(one), "")  # fmt: skip
    for engine in (one, eight):
        engine.sequences.clear()
    return found


def people(engine: Engine) -> list[tuple[int, Wanted]]:
    """Requests of 24 tokens by people with 64 of their own, of which the beginning is kept."""
    shelf = PersonShelf(PrefixMemory(1 << 28))
    found = []
    for number in range(TOGETHER):
        wanted = drawn(engine, 64, 10 + number)
        prefix = Prefix(64, str(number), shelf)
        found.append((number, wanted._replace(
            tokens=wanted.tokens[:88], sampling=Sampling(0.8, 0.95, ANSWER, number), prefix=prefix)))  # fmt: skip
    return found
