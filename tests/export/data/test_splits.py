"""Who and what is trained on, and the canary: no word of the future or of oneself ends up where it must not."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from copersona.export.data.splits import (
    Splits,
    is_new,
    make_splits,
    read_splits,
    seen_history,
    training_people,
    write_splits,
)
from copersona.export.population.profile import State, states_of
from copersona.export.run.run import Run, RunSettings
from copersona.export.run.situations import (
    read_centring,
    run_graph,
    situations,
    training_states,
    validation_states,
)
from copersona.export.steps.steps import discover_facets, graph, prepare, profile
from copersona.export.training.examples import Dropout, make_example
from copersona.runtime.common.arrays import F32
from copersona.runtime.common.errors import ExportError
from copersona.runtime.history.importers import history_line, load_history
from copersona.runtime.history.interactions import Interaction, group_by_person
from copersona.runtime.persona.graph import PersonaGraph
from copersona.runtime.prompt.layout import Layout
from copersona.runtime.prompt.settings import ContextSettings

pytestmark = pytest.mark.export

SAMPLE = Path(__file__).resolve().parents[3] / "assets" / "invented" / "people.jsonl"
PEOPLE = 60
CONTROL = 0x110000


def one(person: str, text: str, time: float | None) -> Interaction:
    return Interaction(person, text, time=time)


def test_the_order_is_by_time_then_by_line() -> None:
    rows = [one("a", "third", 5), one("a", "first", None), one("a", "fourth", 5), one("a", "second", 2)]
    history = group_by_person(rows)["a"]
    assert [i.output for i in history] == ["first", "second", "third", "fourth"]


@pytest.mark.parametrize(("n", "seen"), [(1, 1), (2, 2), (3, 1), (4, 2), (9, 7)])
def test_the_last_two_are_held_out_where_there_are_three(n: int, seen: int) -> None:
    histories = group_by_person(one("a", f"text {i}", float(i)) for i in range(n))
    split = make_splits(histories, 0)["a"]
    assert split.seen == seen
    assert split.held_out == (n >= 3)
    assert split.digests == tuple(i.digest for i in histories["a"])
    assert seen_history(histories, {"a": split}, "a") == histories["a"][:seen]


def test_new_people_are_a_fifth_and_stay_so_whoever_else_comes() -> None:
    names = [f"person {i}" for i in range(4_000)]
    new = {name for name in names if is_new(name, 0)}
    assert 0.18 < len(new) / len(names) < 0.22
    rows = [one(name, "text", float(i)) for i, name in enumerate(names[:500])]
    random.Random(1).shuffle(rows)
    splits = make_splits(group_by_person(rows), 0)
    assert {name for name, split in splits.items() if split.new} == new & set(names[:500])
    assert new != {name for name in names if is_new(name, 1)}
    assert set(training_people(splits)) == set(names[:500]) - new


def test_states_are_the_targets_then_validation_then_test() -> None:
    histories = group_by_person(one(p, f"{p} {i}", float(i)) for p in ("a", "b") for i in range(6))
    splits = make_splits(histories, 0)
    splits = {"a": replace(splits["a"], new=False), "b": replace(splits["b"], new=True)}
    assert [(s.person, s.cut) for s in states_of(splits)] == [
        ("a", 2),
        ("a", 3),
        ("a", 4),
        ("a", 5),
        ("b", 4),
        ("b", 5),
    ]


def test_splits_come_back_and_other_histories_are_refused(tmp_path: Path) -> None:
    histories = group_by_person(one(p, f"{p} {i}", float(i)) for p in ("a", "b") for i in range(4))
    splits = make_splits(histories, 0)
    write_splits(tmp_path / "splits.json", splits)
    assert read_splits(tmp_path / "splits.json", histories) == splits
    changed = {**histories, "b": histories["b"][:3]}
    with pytest.raises(ExportError, match="b has another history"):
        read_splits(tmp_path / "splits.json", changed)
    body = json.loads((tmp_path / "splits.json").read_text())
    (tmp_path / "splits.json").write_text(json.dumps(body | {"version": 2}))
    with pytest.raises(ExportError, match="version 2, expected 1"):
        read_splits(tmp_path / "splits.json", histories)


# -- the canary -----------------------------------------------------------------------------------------------------


class Characters:
    """A tokenizer of one token a character, so that a word in a prompt can be seen."""

    def tokenize(self, text: str) -> list[int]:
        return [ord(c) for c in text]

    def control(self, token: str) -> int:
        return CONTROL + len(token)


def canary(person: int, place: int) -> str:
    return f"zq{person:03d}x{place:02d}kanari"


def bag_of_words(text: str) -> F32:
    """A stand-in encoder; a canary moves it a little, as any word would."""
    vector = np.zeros(48, np.float32)
    for word in text.lower().split():
        vector[sum(map(ord, word)) % 48] += 1
    return vector / np.float32(max(float(np.linalg.norm(vector)), 1e-9))


class CanaryRun(Run):
    """A run whose encoder is the stand-in and whose prompts show their characters."""

    def encode(self, text: str) -> F32:
        return bag_of_words(text)

    layout = Layout(Characters(), ContextSettings(budget=6_000, profile_tokens=1_500, peer_tokens=3_000,
                                                  item_tokens=1_000, recent=3, matched=2, matcher="blend"))  # type: ignore[assignment]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> CanaryRun:
    """Steps prepare to graph on invented people; every sentence of every text carries the text's own word."""
    histories = list(group_by_person(load_history([SAMPLE]).interactions).values())[:PEOPLE]
    folder = tmp_path_factory.mktemp("canary")
    with (folder / "people.jsonl").open("w", encoding="utf-8") as lines:
        for n, history in enumerate(histories):
            for place, item in enumerate(history):
                word = canary(n, place)
                text = item.output.replace(". ", f" {word}. ").replace("! ", f" {word}! ") + f" {word}"
                lines.write(history_line(replace(item, output=text)) + "\n")
    done = CanaryRun(folder, RunSettings((str(folder / "people.jsonl"),), "jsonl", "", "", facets=4, workers=1))
    for step in (prepare, discover_facets, profile, graph):
        step(done)
        done.forget()
    return done


@pytest.fixture(scope="module")
def placed(run: CanaryRun) -> Iterator[PersonaGraph]:
    with run_graph(run) as opened:
        yield opened


def words_of_run(run: CanaryRun) -> dict[str, list[str]]:
    """The canaries of each person, in the order of their history, read off the texts themselves."""
    return {p: [i.output.split()[-1] for i in h] for p, h in run.histories.items()}


def states_at_test(splits: Splits) -> list[State]:
    return [State(p, split.seen + 1) for p, split in splits.items() if split.held_out]


def prompts(run: CanaryRun, placed: PersonaGraph) -> list[tuple[str, int, str]]:
    """Person, cut and prompt of every training, validation and test target."""
    states = [*training_states(run), *validation_states(run, 10**6), *states_at_test(run.splits)]
    found = situations(run, states, placed, read_centring(run), "targets")
    rows = []
    for situation in found:
        example = make_example(situation, run.layout, run.encode, answer_tokens=10**6, drop=None, rates=Dropout())
        text = "".join(chr(t) for t in example.prompt if t < CONTROL)
        answer = "".join(chr(t) for t in example.answer if t < CONTROL)
        assert answer == situation.target.output
        rows.append((situation.state.person, situation.state.cut, text))
    return rows


def test_so_many_targets_as_asked_are_drawn_of_all_by_the_seed(run: CanaryRun) -> None:
    def drawn(targets: int | None, seed: int = 0) -> list[State]:
        asked = replace(run.settings, seed=seed, train=replace(run.settings.train, targets=targets))
        other = CanaryRun(run.folder, asked)
        return training_states(other)

    everything = drawn(None)
    assert drawn(10**6) == everything
    few = drawn(50)
    assert len(few) == 50
    assert few == [state for state in everything if state in few]  # in order, each once
    assert few == drawn(50) != drawn(50, seed=1)
    assert len({state.person for state in few}) > 20


def test_the_canaries_are_there_and_prompts_show_them(run: CanaryRun, placed: PersonaGraph) -> None:
    """Without this the other tests could pass on an empty population."""
    words = words_of_run(run)
    flat = [w for ws in words.values() for w in ws]
    assert len(set(flat)) == len(flat) > 400
    assert 40 <= len(run.people) < PEOPLE
    rows = prompts(run, placed)
    assert len(rows) > 250
    assert sum(any(w in text for w in words[person][:cut]) for person, cut, text in rows) == len(rows)
    others = [w for _, _, text in rows for w in flat if w in text]
    assert len(set(others)) > 200
    quotes = [q for row in range(len(run.people)) for f in placed.profile(row) for q in f.quotes]
    assert any("kanari" in quote for quote in quotes)


def test_no_held_out_word_is_in_facets_peers_or_items(run: CanaryRun, placed: PersonaGraph) -> None:
    held = [w for p, ws in words_of_run(run).items() for w in ws[run.splits[p].seen :]]
    shipped = shipped_text(run, placed)
    assert len(held) >= 2 * PEOPLE - 10
    assert not [w for w in held if w in shipped]


def test_no_word_of_new_people_is_in_facets_peers_or_items(run: CanaryRun, placed: PersonaGraph) -> None:
    new = [w for p, ws in words_of_run(run).items() if run.splits[p].new for w in ws]
    shipped = shipped_text(run, placed)
    assert len(new) > 20
    assert not [w for w in new if w in shipped]
    assert not [p for p in run.histories if p in shipped]  # nor anyone's name


def shipped_text(run: CanaryRun, placed: PersonaGraph) -> str:
    """All text that would be packed: facets, the whole database as text, item words."""
    database = "\n".join(placed._database.iterdump())
    assert 'INSERT INTO "peers"' in database or "INSERT INTO peers" in database
    return run.path("facets.json").read_text() + database + run.path("items.json").read_text()


def test_no_prompt_holds_its_own_target_or_anything_later(run: CanaryRun, placed: PersonaGraph) -> None:
    words = words_of_run(run)
    for person, cut, text in prompts(run, placed):
        assert not [w for w in words[person][cut:] if w in text], (person, cut)


def test_no_prompt_holds_a_held_out_word_of_anyone_else(run: CanaryRun, placed: PersonaGraph) -> None:
    held = {p: ws[0 if run.splits[p].new else run.splits[p].seen :] for p, ws in words_of_run(run).items()}
    for person, cut, text in prompts(run, placed):
        assert not [w for p, ws in held.items() if p != person for w in ws if w in text], (person, cut)


def test_a_person_is_never_their_own_peer(run: CanaryRun, placed: PersonaGraph) -> None:
    for situation in situations(run, training_states(run), placed, read_centring(run), "targets"):
        row = placed.row(run.pseudonyms[situation.state.person])
        assert row >= 0
        place = situation.persona.placement
        assert row not in {b.peer for b in place.borrowed} | set(place.shared.index[0].tolist())
        assert row not in place.edges.index.ravel().tolist()


def test_the_vectors_and_the_statistics_do_not_see_what_is_held_out(run: CanaryRun, tmp_path: Path) -> None:
    """Other held-out texts and other new people: the same facets, peers, edges and layer means, bit for bit."""
    histories = run.raw_histories
    lines = []
    for person, history in histories.items():
        seen = 0 if run.splits[person].new else run.splits[person].seen
        for place, item in enumerate(history):
            text = item.output if place < seen else f"utterly other words {place} of {len(person)}!!! Loud, loud."
            lines.append(history_line(replace(item, output=text, words=())))
    (tmp_path / "people.jsonl").write_text("\n".join(lines), encoding="utf-8")
    other = CanaryRun(tmp_path, replace(run.settings, histories=(str(tmp_path / "people.jsonl"),)))
    for step in (prepare, discover_facets, profile, graph):
        step(other)
        other.forget()
    for name in ("facets.json", "peers.npy", "anchors.npy", "arrays.safetensors", "items.json", "pseudonyms.json"):
        assert other.path(name).read_bytes() == run.path(name).read_bytes(), name
    with run_graph(run) as one, run_graph(other) as two:
        assert list(one._database.iterdump()) == list(two._database.iterdump())


@pytest.mark.parametrize(("people", "new"), [(24, 0), (25, (0, 1)), (30, (0, 6)), (23, 0), (5, 0), (60, (6, 20))])
def test_so_many_people_as_facets_need_are_trained_on_where_there_are_as_many(
    people: int, new: int | tuple[int, int]
) -> None:
    low, high = (new, new) if isinstance(new, int) else new
    for seed in range(20):
        splits = make_splits(group_by_person(one(f"person {n}", "text", 1.0) for n in range(people)), seed)
        left_out = people - len(training_people(splits))
        assert low <= left_out <= high
        assert len(training_people(splits)) >= min(people, 24)
        assert {name for name, split in splits.items() if split.new} <= {name for name in splits if is_new(name, seed)}
