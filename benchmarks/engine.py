"""What personalization costs at run time: each row against its reference, both measured in turn in the same run.

    python benchmarks/engine.py BUNDLE [--rounds 30] [--threads 2] [--out benchmarks/results.json]

First tokens are those of a known person against the same request as nobody, both from kept beginnings, as on a device
that has answered before. Speeds are given so that more is better, times so that less is. Low and high are the quartiles
of the rounds' ratios; absolute numbers on a busy machine mean little, ratios of neighbouring rounds more.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from copersona.runtime.engine import Sampling
from copersona.runtime.interactions import Interaction
from copersona.runtime.people import PeopleStore
from copersona.runtime.prefix_cache import PersonShelf, PrefixMemory
from copersona.runtime.session import Asked, Known, Session, open_bundle

REQUEST = "Write a review. Title: good strings, Rating: 4 of 5. What would you say of the sound and of the price?"
TEXT = "I bought these strings for my old guitar and they sound bright, clear and full; I would buy them again. "


@dataclass(frozen=True)
class Row:
    """One line of the table; `must` is the bar, with its direction."""

    name: str
    value: float
    reference: float
    ratio: float
    low: float
    high: float
    must: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=64, help="length of an answer where decoding is measured")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results.json"))
    asked = parser.parse_args()
    rows = []
    print(f"{'':<46}{'value':>11}{'reference':>11}{'ratio':>8}{'quartiles':>16}  must")
    with tempfile.TemporaryDirectory() as home, PeopleStore(Path(home) / "people.sqlite") as store:
        for n in range(8):
            store.add(Interaction(f"p{n}", f"{TEXT * 6}({n}, {k})", time=float(k)) for k in range(6))
        for row in measure(asked, store):
            rows.append(row)
            print(f"{row.name:<46}{row.value:>11.3f}{row.reference:>11.3f}{row.ratio:>8.3f}"
                  f"{f'{row.low:.3f}-{row.high:.3f}':>16}  {row.must}", flush=True)  # fmt: skip
    asked.out.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")


def measure(asked: argparse.Namespace, store: PeopleStore) -> Iterator[Row]:
    """The rows, the cheap ones first."""
    for name, context, must in (
        ("no history or facets", {"recent": 0, "budget": 0}, "<= 1.02"),
        ("a full context", {}, "<= 1.15"),
    ):
        with open_bundle(asked.bundle, threads=asked.threads, context=context) as session:
            known = session.person(store, "p0")
            size = session.manifest.shapes.soft_tokens + len(session.prompt(REQUEST, known).prefix)
            title = f"first token, {name} ({size} tokens kept), ms"
            yield compare(
                title,
                asked.rounds,
                lambda s=session, k=known: first_token(s, k),
                lambda s=session: first_token(s, None),
                must,
            )
    with open_bundle(asked.bundle, threads=asked.threads) as session:
        yield from restores(session, session.person(store, "p0"), asked.rounds)
        yield decoding(session, asked)
    yield together(asked, store)


def compare(name: str, rounds: int, value: Callable[[], float], reference: Callable[[], float], must: str) -> Row:
    """Value over reference, measured in turn, the first round not counted."""
    pairs = [(reference(), value()) for _ in range(rounds + 1)][1:]
    ratios = [mine / theirs for theirs, mine in pairs]
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return Row(
        name, statistics.median(m for _, m in pairs), statistics.median(t for t, _ in pairs), middle, low, high, must
    )


def timed(work: Callable[[], Any]) -> float:
    """Milliseconds."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3


def first_token(session: Session, known: Known | None) -> float:
    """From the request to the first piece."""
    return timed(lambda: next(iter(session.answer(REQUEST, known, Sampling(0, 1.0, 2)))))


def restores(session: Session, known: Known, rounds: int) -> Iterator[Row]:
    """A kept beginning from memory and from disk, its check included, against computing it."""
    session.answer(REQUEST, known, Sampling(0, 1.0, 1)).finish()
    engine, wanted = session.engine, session._wanted(session.prompt(REQUEST, known), known, Sampling())
    assert wanted.prefix is not None
    assert known.files is not None
    key, length = wanted.prefix.key, len(wanted.soft) + wanted.prefix.tokens if wanted.soft is not None else 0

    def compute() -> None:
        engine._context.trim(0, 0)
        engine._context.rows(0, wanted.soft, 0)
        engine._context.tokens(0, engine._words.check(wanted.tokens[: wanted.prefix.tokens]), len(wanted.soft), "none")

    def restore(memory: PrefixMemory) -> None:
        state = PersonShelf(memory, known.name, known.files).get(key)
        assert state is not None
        assert engine._context.restore(0, state, length)

    engine.sequences.clear()
    for name, memory, must in (("memory", session.prefixes, "<= 3 ms"), ("disk", PrefixMemory(0), "<= 10 ms")):
        yield compare(f"restore {length} tokens from {name}, ms", rounds, lambda m=memory: timed(lambda: restore(m)),
                      lambda: timed(compute), must)  # fmt: skip
    engine.sequences.clear()


def decoding(session: Session, asked: argparse.Namespace) -> Row:
    """Tokens a second against llama-cpp-python's own class, greedy, after the same tokens."""
    import llama_cpp

    path = str(session.manifest.path(session.folder, "model"))
    theirs = llama_cpp.Llama(path, n_ctx=session.engine.context, n_threads=asked.threads, n_threads_batch=asked.threads,
                             verbose=False)  # fmt: skip
    ids = session.prompt(REQUEST, None).tokens

    def speed(pieces: Iterator[Any]) -> float:
        next(pieces)
        start, count = time.perf_counter(), 0
        for _ in pieces:
            count += 1
            if count == asked.tokens:
                break
        return count / (time.perf_counter() - start)

    def reference() -> float:
        theirs.reset()
        return speed(theirs.generate(ids, temp=0.0, repeat_penalty=1.0))

    ours = lambda: speed(session.engine.generate(None, ids, Sampling(0, 1.0, asked.tokens + 8)))
    return compare("decoding against llama_cpp.Llama, tokens/s", max(asked.rounds // 3, 2), ours, reference, ">= 0.98")


def together(asked: argparse.Namespace, store: PeopleStore) -> Row:
    """Eight people at once against one after the other: answers a second."""
    sampling = Sampling(0.8, 0.95, asked.tokens)
    with (
        open_bundle(asked.bundle, threads=asked.threads) as one,
        open_bundle(asked.bundle, threads=asked.threads, sequences=8) as eight,
    ):

        def speed(session: Session) -> float:
            people = [session.person(store, f"p{n}") for n in range(8)]
            jobs = [Asked(str(n), REQUEST, known, sampling) for n, known in enumerate(people)]
            tokens = 0

            def work() -> None:
                nonlocal tokens
                tokens = sum(answer.receipt.pieces for _, answer in session.answer_many(jobs))  # type: ignore[union-attr]

            took = timed(work)
            return tokens / took * 1e3

        rounds = max(asked.rounds // 5, 2)
        return compare("8 people at once, tokens/s", rounds, lambda: speed(eight), lambda: speed(one), ">= 1.3")


if __name__ == "__main__":
    sys.exit(main())
