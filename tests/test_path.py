"""The whole path on a small run: what was trained is what ships, and what ships answers."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from copersona.export.convert.file_tokens import FileTokens
from copersona.export.population.profile import State
from copersona.export.run.run import Run
from copersona.export.run.situations import read_centring, run_graph, situations, training_states
from copersona.export.steps.pipeline import read_marker, run_steps
from copersona.export.steps.steps import STEPS
from copersona.export.training.examples import Dropout, make_example
from copersona.runtime.bundle.verify import verify
from copersona.runtime.common.errors import ExportError, ModelError
from copersona.runtime.engine.engine import Sampling
from copersona.runtime.people.store import PeopleStore
from copersona.runtime.persona.personalizer import PersonaInputs
from copersona.runtime.profile.facets import profile_to_json
from copersona.runtime.prompt.layout import Layout
from copersona.runtime.prompt.settings import NAMED
from copersona.runtime.session.session import Session, open_bundle

pytestmark = pytest.mark.export

SAMPLING = Sampling(temperature=0.9, max_tokens=16, seed=3)


@pytest.fixture(scope="module")
def run(tiny_run: Path) -> Run:
    return Run.open(tiny_run)


@pytest.fixture(scope="module")
def session(tiny_bundle: Path) -> Iterator[Session]:
    with open_bundle(tiny_bundle, threads=1) as opened:
        yield opened


def enrolled(run: Run) -> str:
    """A training person with a long history."""
    return max(run.people, key=lambda p: len(run.training_histories[p]))


def states_at_test(run: Run) -> list[State]:
    """Test targets of everyone, new people included."""
    return [State(p, split.seen + 1) for p, split in run.splits.items() if split.held_out]


def newcomer(run: Run) -> str:
    return next(p for p, s in run.splits.items() if s.new and s.held_out)


def test_every_step_ran_and_left_its_figures(run: Run, tiny_bundle: Path) -> None:
    assert verify(tiny_bundle, full=True).shapes.facets == len(run.schema) == 5
    for step in STEPS:
        marker = read_marker(run, step)
        assert marker is not None
        assert marker.seconds >= 0
        assert marker.peak_megabytes > 10
        assert marker.report
    assert (tiny_bundle / "README.md").read_text().count("| personalizer max abs difference |") == 1
    assert "random" in (tiny_bundle / "LICENSE.txt").read_text()  # the base's, which goes with its weights


def test_promise_bundle_holds_nobodys_history(run: Run, tiny_bundle: Path) -> None:
    content = {p.name: p.read_bytes() for p in tiny_bundle.iterdir() if p.suffix in (".json", ".md", ".sqlite")}
    assert {"facets.json", "manifest.json", "graph.sqlite"} <= content.keys()
    for name, data in content.items():
        for person in run.histories:
            assert person.encode() not in data, (name, person)
        assert str(run.folder).encode() not in data, name
        assert b"/people.jsonl" not in data, name
        for person in run.people[:10]:
            for item in run.histories[person]:
                assert len(item.output) < 200 or item.output.encode() not in data, name


def test_an_enrolled_persons_soft_prompt_equals_the_torch_personalizers(run: Run, session: Session) -> None:
    import torch
    from safetensors.torch import load_file

    from copersona.export.training.personalizer import PersonalizerShape, TorchPersonalizer, batch_personas

    settings, ours = run.settings.train, session.personalizer
    facets, width = ours.layer_means.shape
    shape = PersonalizerShape(facets, width, settings.graph, settings.hidden, settings.soft_tokens, ours.width)
    twin = TorchPersonalizer(shape, ours.layer_means, 1.0).eval()
    twin.load_state_dict(load_file(run.path("train") / "best" / "personalizer.safetensors"))
    inputs: list[PersonaInputs | None] = [None]
    found = [session.nobody]
    for person in (enrolled(run), *run.people[:5], newcomer(run)):
        known = session.know(run.histories[person], pseudonym=run.pseudonyms.get(person))
        inputs.append(known.persona.inputs)
        found.append(known.soft)
    with torch.no_grad():
        theirs = twin(batch_personas(inputs, shape, 5, torch.device("cpu"))).numpy()
    assert np.abs(np.stack(found) - theirs).max() <= 1e-5
    assert np.abs(found[1] - found[0]).max() > 1e-4  # a person is not nobody


def test_training_and_device_see_the_same_persona_and_the_same_prompt_tokens(run: Run, session: Session) -> None:
    states = [*states_at_test(run)[:8], *training_states(run)[-5:]]
    with run_graph(run) as graph:
        trained = situations(run, states, graph, read_centring(run), "targets")
    for situation in trained:
        pseudonym = run.pseudonyms.get(situation.state.person)
        known = session.know(situation.history, pseudonym=pseudonym)
        ours, theirs = known.persona, situation.persona
        assert profile_to_json(ours.profile.facets) == profile_to_json(theirs.profile.facets)
        np.testing.assert_array_equal(ours.vectors, theirs.vectors)
        np.testing.assert_array_equal(ours.placement.shared.index, theirs.placement.shared.index)
        assert ours.peers == theirs.peers
        example = make_example(situation, run.layout, run.encode, answer_tokens=10**6, drop=None, rates=Dropout())
        assert session.prompt(situation.target.request(), known).tokens == list(example.prompt)
        assert session.layout.answer(situation.target.output) == example.answer


CHOICES = [  # every pair of matcher, show and place, and of each with a share by recency and without
    *({"matcher": m, "show": s, "place": NAMED["place"][(i + j) % 3], "recent": 2 * ((i + j) % 2), "matched": 2}
      for i, m in enumerate(NAMED["matcher"]) for j, s in enumerate(NAMED["show"])),
    {"recent": 3, "matched": 0, "show": "both", "place": "last"},
    {"recent": 2, "matched": 1, "budget": 160, "served": "texts"},
]  # fmt: skip


@pytest.mark.parametrize("choice", CHOICES, ids=lambda c: " ".join(map(str, c.values())))
def test_whatever_the_context_training_and_device_see_the_same_prompt_tokens(
    run: Run, session: Session, tiny_bundle: Path, choice: dict[str, Any]
) -> None:
    states = [*states_at_test(run)[:3], *training_states(run)[-3:]]
    chosen = replace(run.settings.context, **choice)
    layout = Layout(FileTokens(Path(run.settings.base) / "tokenizer.json"), chosen)
    with run_graph(run) as graph:
        trained = situations(run, states, graph, read_centring(run), "targets")
    with open_bundle(tiny_bundle, threads=1, context=choice) as opened:
        assert opened.context == chosen
        for situation in trained:
            known = session.know(situation.history, pseudonym=run.pseudonyms.get(situation.state.person))
            prompt = opened.prompt(situation.target.request(), known)
            example = make_example(situation, layout, run.encode, answer_tokens=10, drop=None, rates=Dropout())
            assert prompt.tokens == list(example.prompt)
            assert set(prompt.history) <= set(situation.history)
            assert prompt.history
            assert opened.prompt("x", None).tokens == session.prompt("x", None).tokens


def test_where_own_texts_come_first_half_of_the_training_shows_facets_first(run: Run) -> None:
    tokens = FileTokens(Path(run.settings.base) / "tokenizer.json")
    facets, texts = (
        Layout(tokens, replace(run.settings.context, recent=3, budget=96, served=served)) for served in NAMED["served"]
    )
    with run_graph(run) as graph:
        situation = situations(run, states_at_test(run)[:1], graph, read_centring(run), "targets")[0]
    rates = Dropout(persona=0.0, context=0.0, field=0.0)

    def prompts(layout: Layout, rates: Dropout) -> list[tuple[int, ...]]:
        draw = random.Random(3)
        made = [
            make_example(situation, layout, run.encode, answer_tokens=10, drop=draw, rates=rates) for _ in range(60)
        ]
        return [example.prompt for example in made]

    (always,) = set(prompts(facets, rates))
    (never,) = set(prompts(texts, replace(rates, texts=0.0)))
    assert always != never
    found = prompts(texts, rates)
    assert set(found) == {always, never}
    assert 15 <= found.count(always) <= 45


def test_a_context_that_does_not_fit_is_refused_when_the_bundle_is_opened(tiny_bundle: Path) -> None:
    with pytest.raises(ModelError, match="1,024: no room is left for an answer"):
        open_bundle(tiny_bundle, context={"budget": 1000})
    with pytest.raises(ValueError, match="matcher is 'bm52'"):
        open_bundle(tiny_bundle, context={"matcher": "bm52"})


def test_the_receipt_says_which_matcher_found_what(run: Run, tiny_bundle: Path) -> None:
    person = enrolled(run)
    with open_bundle(tiny_bundle, threads=1, context={"recent": 1, "matched": 2, "matcher": "dense"}) as opened:
        known = opened.know(run.training_histories[person], pseudonym=run.pseudonyms[person])
        receipt = opened.answer("Write a review.", known, SAMPLING).finish().receipt
        assert [row.by for row in receipt.retrieved] == ["recent", "dense", "dense"]
        prompt = opened.prompt("Write a review.", known)
        assert [row.digest for row in receipt.retrieved] == [item.digest for item in prompt.history]
        assert prompt.recent == run.training_histories[person][-1:]
        assert receipt.context == asdict(opened.context)


def test_the_vectors_of_a_person_are_kept_with_them(run: Run, tiny_bundle: Path, tmp_path: Path) -> None:
    person = enrolled(run)
    history, change = run.raw_histories[person], {"recent": 1, "matched": 2, "matcher": "blend"}
    with PeopleStore(tmp_path / "people.sqlite") as store:
        store.add(history)
        with open_bundle(tiny_bundle, threads=1) as plain:
            plain.personas.recall(store, plain.know(history))
            assert store.vectors(person, plain.bundle.encoder_hash) == {}
        prompts = []
        for _ in range(2):
            with open_bundle(tiny_bundle, threads=1, context=change) as opened:
                known = opened.know(store.history(person))
                opened.personas.recall(store, known)
                assert len(store.vectors(person, opened.bundle.encoder_hash)) == len({i.output for i in history[:-1]})
                prompts.append(opened.prompt("Write.", known).tokens)
        assert prompts[0] == prompts[1]


def test_enrolled_people_are_never_their_own_peer_and_strangers_may_be_near_anyone(run: Run, session: Session) -> None:
    person = enrolled(run)
    row = session.graph.row(run.pseudonyms[person])
    assert row >= 0
    known = session.know(run.training_histories[person], pseudonym=run.pseudonyms[person])
    assert row not in known.persona.placement.shared.index
    assert row not in {b.peer for b in known.persona.placement.borrowed}
    unnamed = session.know(run.training_histories[person])
    assert row == unnamed.persona.placement.shared.index[0, 0]  # their own twin, were they not enrolled
    ships = known.persona.vectors.astype(np.float16).astype(np.float32)  # in the values that a bundle holds
    np.testing.assert_array_equal(ships, session.graph.peers[:, row])


def test_item_words_are_those_of_the_export(run: Run, session: Session) -> None:
    person = enrolled(run)
    raw = run.raw_histories[person][: run.splits[person].seen]
    again = session.bundle.attach_items(raw, enrolled=frozenset({person}))
    assert [i.words for i in again] == [i.words for i in run.training_histories[person]]


def test_the_same_seed_gives_the_same_answer_and_another_persona_another(run: Run, session: Session) -> None:
    person, request = enrolled(run), "Write a review.\nRating: 4 of 5"
    known = session.know(run.training_histories[person], pseudonym=run.pseudonyms[person])
    one = session.answer(request, known, SAMPLING, person=person).finish()
    other = session.answer(request, known, SAMPLING, person=person).finish()
    assert one.text == other.text != ""
    assert one.receipt == other.receipt
    logits = [session.engine.logits(k, session.prompt(request, None).tokens)[-1] for k in (known.soft, session.nobody)]
    assert np.abs(logits[0] - logits[1]).max() > 1e-4
    nobody = session.answer(request, None, SAMPLING).finish()
    assert nobody.receipt.soft_prompt == "nobody"
    assert session.prompt(request, None).tokens != session.prompt(request, known).tokens
    assert (nobody.text, nobody.receipt.person) != (one.text, one.receipt.person)


def test_the_receipt_says_what_the_answer_was_made_from(run: Run, session: Session) -> None:
    person, request = enrolled(run), "Write a review.\nTitle: fine"
    known = session.know(run.training_histories[person], pseudonym=run.pseudonyms[person])
    answer = session.answer(request, known, SAMPLING, person=person)
    with pytest.raises(RuntimeError, match="when the answer has ended"):
        _ = answer.receipt
    pieces = list(answer)
    body = json.loads(answer.receipt.to_json())
    prompt = session.prompt(request, known)
    assert body["request"] == request
    assert body["person"] == person
    assert body["soft_prompt"] == "persona"
    assert body["pieces"] == len(pieces) > 0
    assert body["sampling"] == asdict(SAMPLING)
    assert body["versions"]["bundle"] == session.manifest.bundle_id
    assert body["versions"]["population"] == session.manifest.population_id
    assert body["versions"].keys() == {"copersona", "bundle", "population", "engine", "profiler"}
    assert body["prompt_tokens"]["soft"] == len(known.soft) == 4
    assert sum(body["prompt_tokens"].values()) == len(prompt.tokens) + 4
    assert body["retrieved"] == [
        {"by": "recent", "digest": i.digest, "time": i.time, "request": i.request()} for i in prompt.recent
    ]
    assert body["context"] == asdict(session.context)
    assert body["retrieved"]
    assert {r["digest"] for r in body["retrieved"]} <= {i.digest for i in run.training_histories[person]}
    assert [f["facet"] for f in body["facets"]] == list(session.schema.names)
    gates = dict(zip(("none", "weak", "moderate", "strong"), session.personalizer.gates().tolist(), strict=True))
    for facet in body["facets"]:
        assert facet["gate"] == pytest.approx(gates[facet["reliability"]], abs=1e-4)
        for peer in facet["borrowed"]:
            assert peer["peer"] in session.graph.pseudonyms
    shown = sum(peer["shown"] for facet in body["facets"] for peer in facet["borrowed"])
    assert shown == len(prompt.peers)
    assert [n[0] for n in body["neighbors"]] == [
        session.graph.pseudonyms[i] for i in known.persona.placement.shared.index[0]
    ]
    assert body["left_out"] == list(prompt.cut)


def test_a_score_is_the_engines_log_probabilities_in_bits(run: Run, session: Session) -> None:
    person = enrolled(run)
    target = run.histories[person][-1]
    for known in (session.know(run.training_histories[person], pseudonym=run.pseudonyms[person]), None):
        soft = session.nobody if known is None else known.soft
        tokens = session.layout.answer(target.output)
        logs = session.engine.score(soft, session.prompt(target.request(), known).tokens, tokens)
        score = session.score(target.request(), target.output, known)
        assert score.bits == pytest.approx(-logs.sum() / np.log(2))
        assert score.tokens == len(tokens)
        assert score.bytes == len(target.output.encode())
        assert score.bits_per_byte == pytest.approx(score.bits / score.bytes)


def test_someone_without_a_word_is_nobody_to_the_model(session: Session) -> None:
    known = session.know(())
    assert known.persona.inputs is None
    np.testing.assert_array_equal(known.soft, session.nobody)
    assert session.prompt("Write.", known).tokens == session.prompt("Write.", None).tokens
    assert session.answer("Write.", known, SAMPLING).finish().receipt.soft_prompt == "nobody"


def test_a_rerun_skips_everything_and_says_so(run: Run, tiny_bundle: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in sorted(run.folder.rglob("*")) if p.is_file()}
    said: list[str] = []
    done = run_steps(Run.open(run.folder), tuple(STEPS), said.append)
    assert said == [f"{step}: done before, skipped" for step in STEPS]
    assert [d.step for d in done] == list(STEPS)
    assert {p: p.stat().st_mtime_ns for p in sorted(run.folder.rglob("*")) if p.is_file()} == before


def test_other_weights_in_the_same_folder_make_their_step_stale(run: Run, tmp_path: Path) -> None:
    from copersona.export.steps.pipeline import step_key

    for name, step in (("base", "train"), ("encoder", "encoder")):
        folder = tmp_path / name
        shutil.copytree(getattr(run.settings, name), folder)
        moved = Run(run.folder, replace(run.settings, **{name: str(folder)}))
        before = step_key(moved, step)
        assert step_key(moved, step) == before
        weights = next(folder.glob("*.safetensors"))
        weights.write_bytes(weights.read_bytes() + b" ")
        assert step_key(moved, step) != before


def test_changed_settings_make_their_step_and_the_later_ones_stale(run: Run) -> None:
    from copersona.export.steps.pipeline import step_key

    other = Run(run.folder, replace(run.settings, train=replace(run.settings.train, epochs=2)))
    same = [step_key(run, step) == step_key(other, step) for step in STEPS]
    assert same == [step in ("prepare", "encoder", "discover", "profile", "graph") for step in STEPS]
    shown = Run(run.folder, replace(run.settings, context=replace(run.settings.context, show="both")))
    assert [step_key(run, step) == step_key(shown, step) for step in STEPS] == same


def test_how_own_texts_give_way_in_training_counts_only_where_they_come_first(run: Run) -> None:
    from copersona.export.run.training import training_key
    from copersona.export.steps.pipeline import step_key

    def keys(served: str, texts: float) -> tuple[str, str]:
        context = replace(run.settings.context, served=served)
        train = replace(run.settings.train, dropout=replace(run.settings.train.dropout, texts=texts))
        other = Run(run.folder, replace(run.settings, train=train, context=context))
        return step_key(other, "train"), training_key(other)

    assert keys("facets", 0.5) == keys("facets", 0.0)
    assert not {*keys("texts", 0.5)} & {*keys("texts", 0.0)}


def test_a_context_longer_than_the_base_was_trained_on_is_refused_before_the_first_step(
    run: Run, tmp_path: Path
) -> None:
    long = Run(tmp_path / "run", replace(run.settings, context=replace(run.settings.context, budget=764)))
    with pytest.raises(ModelError, match=r"1,024 tokens .* trained on 1,024"):
        run_steps(long, tuple(STEPS), lambda line: None)
    assert not (tmp_path / "run").exists()


def test_a_step_without_the_ones_before_it_is_refused(run: Run, tmp_path: Path) -> None:
    empty = Run(tmp_path / "run", run.settings)
    with pytest.raises(ExportError, match="step prepare has not been done"):
        run_steps(empty, ("graph",), lambda line: None)
    with pytest.raises(ExportError, match="no run folder"):
        Run.open(tmp_path / "gone")


def test_the_graph_step_says_how_well_each_facet_tells_people_apart(tiny_run: Path) -> None:
    from copersona.export.run.run import Run
    from copersona.export.steps.pipeline import read_marker

    run = Run.open(tiny_run)
    found, told = read_marker(run, "discover"), read_marker(run, "graph")
    assert found is not None
    assert told is not None
    figures = told.report["same-person AUC"]
    assert figures == found.report["same-person AUC"]
    assert set(figures) <= {*run.schema.names, "all together"}
    assert all(0.0 <= value <= 1.0 for value in figures.values())
    assert len(figures) > 1
