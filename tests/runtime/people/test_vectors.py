"""Vectors of what people wrote: each text encoded once, on this device too, and gone with the person."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from copersona.runtime.common.arrays import F32
from copersona.runtime.common.errors import ModelError
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people import vectors
from copersona.runtime.people.store import PeopleStore
from copersona.runtime.people.vectors import Vectors

TEXTS = ("one", "two", "one", "na\u00efve \ud800")


class Counting:
    """A stand-in encoder that says what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, text: str) -> F32:
        self.asked.append(text)
        return np.array([len(text), 0.1, -1 / 3], np.float32)


def store_of(path: Path, *people: str) -> PeopleStore:
    store = PeopleStore(path / "people.sqlite")
    store.add(Interaction(person, "words") for person in people)
    return store


def test_a_text_is_encoded_once() -> None:
    encoder = Counting()
    known = Vectors(encoder)
    assert [known(text).tolist() for text in TEXTS] == [Counting()(text).tolist() for text in TEXTS]
    assert encoder.asked == ["one", "two", TEXTS[3]]


def test_the_oldest_is_dropped_when_memory_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "REMEMBERED", 2)
    encoder = Counting()
    known = Vectors(encoder)
    for text in ("a", "b", "c", "b", "a"):
        known(text)
    assert encoder.asked == ["a", "b", "c", "a"]


def test_a_later_session_reads_what_an_earlier_one_encoded(tmp_path: Path) -> None:
    with store_of(tmp_path, "ana", "ben") as store:
        first, later, other = Counting(), Counting(), Counting()
        once = Vectors(first)
        once.recall(TEXTS, store, "ana", "encoder 1")
        assert first.asked == ["one", "two", TEXTS[3]]
        again = Vectors(later)
        again.recall([*TEXTS, "new"], store, "ana", "encoder 1")
        assert later.asked == ["new"]
        for text in TEXTS:
            np.testing.assert_array_equal(again(text), once(text))
            assert again(text).dtype == np.float32
        assert later.asked == ["new"]
        Vectors(other).recall(["one"], store, "ana", "encoder 2")  # another encoder, another vector
        Vectors(other).recall(["two"], store, "ben", "encoder 1")  # another person's are theirs
        assert other.asked == ["one", "two"]


def test_forgotten_means_gone_for_vectors_too(tmp_path: Path) -> None:
    pattern = np.arange(384, dtype=np.float32)
    with store_of(tmp_path, "ana", "ben") as store:
        for person, scale in (("ana", 1), ("ben", 2)):
            scaled = pattern * scale
            Vectors(lambda text, scaled=scaled: scaled).recall(["secret"], store, person, "e")  # type: ignore[misc]
        assert pattern.tobytes()[64:128] in store.path.read_bytes()
        store.forget("ana")
        assert pattern.tobytes()[64:128] not in store.path.read_bytes()
        assert store.vectors("ana", "e") == {}
        assert len(store.vectors("ben", "e")) == 1
        store.keep_vectors("ana", "e", {"digest": b"late"})  # of someone forgotten meanwhile
        assert store.vectors("ana", "e") == {}


@pytest.mark.parametrize("stopped_at", [0, 1, 31, 32, 33, 100])
@pytest.mark.parametrize("how", [KeyboardInterrupt, ModelError])
def test_what_was_encoded_before_a_stop_is_kept(stopped_at: int, how: type[BaseException], tmp_path: Path) -> None:
    texts = [f"text {n}" for n in range(150)]
    asked: list[str] = []

    def cut(text: str) -> F32:
        if len(asked) == stopped_at:
            raise how
        asked.append(text)
        return np.ones(3, np.float32)

    with store_of(tmp_path, "ana") as store:
        with pytest.raises(how):
            Vectors(cut).recall(texts, store, "ana", "e")
        assert len(store.vectors("ana", "e")) == stopped_at
        rest = Counting()
        Vectors(rest).recall(texts, store, "ana", "e")
        assert rest.asked == texts[stopped_at:]


def test_a_kill_loses_no_more_than_one_write(tmp_path: Path) -> None:
    kept: list[int] = []
    with store_of(tmp_path, "ana") as store:

        def watched(text: str) -> F32:
            kept.append(len(store.vectors("ana", "e")))
            return np.ones(3, np.float32)

        Vectors(watched).recall([f"text {n}" for n in range(200)], store, "ana", "e")
    assert all(n - found <= vectors.AT_ONCE for n, found in enumerate(kept))


def test_many_texts_are_said_and_few_are_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with store_of(tmp_path, "ana") as store:
        known = Vectors(Counting())
        known.recall([f"few {n}" for n in range(99)], store, "ana", "e")
        assert capsys.readouterr().err == ""
        known.recall([f"many {n}" for n in range(100)], store, "ana", "e")
        assert capsys.readouterr().err.startswith(
            "ana: encoding texts: 0 of 100 ...\nana: encoding texts: 100 of 100 in "
        )
        known.recall([f"many {n}" for n in range(100)], store, "ana", "e")
        assert capsys.readouterr().err == ""
