"""An evaluation end to end on the small run: every method, every experiment, retrained variants, the report."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from copersona.export.evaluation.bench.bench import BASE, TRAINED, Bench
from copersona.export.evaluation.bench.bits import BITS, PARTS, Alphabet, Unigram, score
from copersona.export.evaluation.bench.cases import Case, cases
from copersona.export.evaluation.bench.texts import TextMetrics
from copersona.export.evaluation.bench.values import ValueStore
from copersona.export.evaluation.command.evaluate import Options, _plan, evaluate_bundle
from copersona.export.evaluation.experiments.compute import Plan, generated_key, measure, reference, scored, sureness
from copersona.export.evaluation.experiments.experiments import EXPERIMENTS
from copersona.export.evaluation.experiments.gating import gating
from copersona.export.evaluation.experiments.trials import Experiment, Trial
from copersona.export.evaluation.experiments.variants import VARIANTS, VariantTrainer, made, make_variants
from copersona.export.evaluation.methods.ablated import ABLATIONS, global_peers, random_peers
from copersona.export.evaluation.methods.copersona import COPERSONA
from copersona.export.evaluation.methods.dep import DEP
from copersona.export.evaluation.methods.dpl import dpl
from copersona.export.evaluation.methods.lora import LORA, LORA_RAG
from copersona.export.evaluation.methods.method import own
from copersona.export.evaluation.methods.non_perso import NON_PERSO
from copersona.export.evaluation.methods.pag import pag
from copersona.export.evaluation.methods.rag import RAG
from copersona.export.evaluation.methods.switched import SWITCHED, soft_only, text_only
from copersona.export.evaluation.methods.twins import ANYONE, RANKS, asked, ranked
from copersona.export.evaluation.report.results import collect, restricted
from copersona.export.evaluation.report.results_file import read_results
from copersona.export.evaluation.variants.variant_bundles import base_bundle
from copersona.export.run.run import Run
from copersona.export.steps.pipeline import step_key
from copersona.runtime.chat.endpoint import Endpoint
from copersona.runtime.chat.ledger import Ledger, Memory
from copersona.runtime.common.errors import ExportError
from copersona.runtime.engine.engine import Sampling
from copersona.runtime.prompt.settings import changed

from ...conftest import ChatServer, quiet

pytestmark = pytest.mark.export


@pytest.fixture(scope="module")
def run(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A copy of the small run, with every variant trained for one step."""
    folder = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(tiny_run, folder)
    copied = Run.open(folder)
    with quiet():
        trainer = VariantTrainer(copied, folder / "bundle")
        few = replace(
            trainer.targets, training=trainer.targets.training[:16], validation=trainer.targets.validation[:2]
        )
        trainer.__dict__["targets"] = few
        for variant in VARIANTS.values():
            trainer.train(variant)
    return copied


@pytest.fixture(scope="module")
def bench(run: Run) -> Iterator[Bench]:
    bundle = run.path("bundle")
    with Bench(run, {TRAINED: bundle, BASE: base_bundle(run, bundle), **made(run, bundle)}, threads=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def case(run: Run) -> Case:
    return max(cases(run), key=lambda c: (c.pseudonym is not None, len(c.history)))


def test_cases_are_everyones_last_interaction_and_spread_when_limited(run: Run) -> None:
    everybody = cases(run)
    assert len(everybody) == sum(s.held_out for s in run.splits.values())
    assert all(c.new == (c.pseudonym is None) for c in everybody)
    assert {c.target.digest for c in everybody}.isdisjoint(i.digest for c in everybody for i in c.history)
    before = cases(run, validation=True)
    assert [c.pseudonym for c in before] == [c.pseudonym for c in everybody]
    pairs = list(zip(before, everybody, strict=True))
    assert all(b.target == c.history[-1] and b.history == c.history[:-1] for b, c in pairs)
    assert {c.person for c in before}.isdisjoint(c.person for c in everybody)
    few = cases(run, 5)
    assert len(few) == 5
    assert {c.person for c in few} <= {c.person for c in everybody}
    assert not any(person in c.person for c in everybody for person in run.histories)


def test_bits_of_the_parts_add_up_to_what_the_session_scores(bench: Bench, case: Case) -> None:
    session = bench.session()
    for known in (own(bench, session, case), None):
        tokens = session.layout.answer(case.target.output)
        found = score(session, bench.alphabet(session), case.request, tokens, known)
        whole = session.score(case.request, case.target.output, known)
        assert found[BITS] == pytest.approx(whole.bits_per_byte, rel=1e-5)
        assert sum(found[part] for part in PARTS) == pytest.approx(found[BITS])
        assert (found["bytes"], found["tokens"]) == (whole.bytes, whole.tokens)
        assert all(found[part] > 0 for part in PARTS)


def test_another_setting_makes_the_values_new(bench: Bench) -> None:
    trial = Trial("own", COPERSONA, {"served": "facets"})
    assert trial.key(bench) == replace(trial, label="the same").key(bench)
    assert trial.key(bench) != replace(trial, context={"served": "texts"}).key(bench)


def test_a_unigram_model_by_hand() -> None:
    alphabet = Alphabet(["a", "A", "!", ""], end=3)
    assert [sorted(group.tolist()) for group in alphabet.cases] == [[0, 1], [0, 1], [2], [3]]
    model = Unigram([[0, 0, 3], [2, 3]], 4, alphabet, strength=7.0)
    # counts 2 0 1 2 and a half each: 2.5 0.5 1.5 2.5 of 7; strength 7 makes them the pseudo-counts themselves
    found = model.bits([[0]], [1, 2, 3])
    first = -np.log2(0.5 / 8)  # A: one token of the history, seven of the population
    folded = -np.log2((1 + 2.5 + 0.5) / 8)
    assert found.words == pytest.approx(folded)
    assert found.style == pytest.approx(first - folded - np.log2(1.5 / 9))
    assert found.end == pytest.approx(-np.log2(2.5 / 10))


def test_what_each_method_tells_the_model(bench: Bench, case: Case) -> None:
    base = bench.session(BASE)
    names = {}
    for method in (NON_PERSO, RAG, pag(bench), dpl(bench)):
        known = method.know(bench, base, case)
        assert known is not None
        assert known.soft.shape == (0, base.manifest.shapes.hidden)
        assert known.persona.peers == ()
        names[method.name] = {s.name: len(s.tokens) for s in base.prompt(case.request, known).segments}
    assert (
        base.layout.prompt(case.request).tokens == base.prompt(case.request, NON_PERSO.know(bench, base, case)).tokens
    )
    assert "recent" not in names["Non-Perso"]
    assert names["RAG"]["recent"] >= names["PAG"]["recent"] > 0  # one budget for all that is shown
    assert names["PAG"]["system"] > names["RAG"]["system"] == names["Non-Perso"]["system"]
    assert names["DPL"]["system"] >= names["PAG"]["system"]
    trained = bench.session()
    full = COPERSONA.know(bench, trained, case)
    assert full is not None
    np.testing.assert_array_equal(full.soft, trained.know(case.history, pseudonym=case.pseudonym).soft)
    only = soft_only(bench, trained, case)
    assert trained.prompt(case.request, only).tokens == trained.prompt(case.request, None).tokens
    np.testing.assert_array_equal(only.soft, full.soft)
    np.testing.assert_array_equal(text_only(bench, trained, case).soft, trained.nobody)


def test_a_part_switched_off_changes_the_soft_prompt_and_nothing_else(bench: Bench, case: Case) -> None:
    session = bench.session()
    full = own(bench, session, case)
    for method in SWITCHED[4:]:
        known = method.know(bench, session, case)
        assert known is not None
        assert known.persona == full.persona
        assert np.abs(known.soft - full.soft).max() > 1e-6, method.name


def test_twins_are_ranked_by_the_devices_own_similarity_and_never_oneself(bench: Bench, run: Run, case: Case) -> None:
    session = bench.session()
    order = ranked(bench, session, case)
    others = [c.pseudonym for c in cases(run) if c.pseudonym not in (None, case.pseudonym)]
    assert sorted(order.tolist()) == sorted(session.graph.row(name) for name in others)
    assert order[0] == own(bench, session, case).persona.placement.combined.index[0, 0]
    histories = [method.know(bench, session, case) for method in (*RANKS, ANYONE)]
    assert all(known is not None and known.history[0].person != case.history[0].person for known in histories)
    before = {c.pseudonym: c.history for c in cases(run)}  # as much as of oneself: all but the test
    assert all(known is not None and known.history in before.values() for known in histories)
    (early,) = [c for c in cases(run, validation=True) if c.pseudonym == case.pseudonym]
    nearest = RANKS[0].know(bench, session, early)
    assert nearest is not None
    assert nearest.history in [history[:-1] for history in before.values()]


def test_a_twin_does_not_know_the_person_whom_they_replace(bench: Bench, run: Run) -> None:
    session, left_out = bench.session(), 0
    for case in [c for c in cases(run) if not c.new][:12]:
        mine = session.graph.row(case.pseudonym)
        for method in (RANKS[0], RANKS[1], ANYONE):
            known = method.know(bench, session, case)
            assert known is not None
            placement = known.persona.placement
            met = [placement.shared.index, placement.combined.index, placement.edges.index]
            assert all(mine not in index for index in met)
            assert mine not in [b.peer for b in placement.borrowed]
            twin = next(n for n, h in asked(bench, case).items() if h == known.history)
            left_out += mine in bench.know(session, known.history, twin).persona.placement.shared.index
    assert left_out > 0  # there was something to leave out


def test_variants_are_trained_as_they_are_asked(bench: Bench, run: Run, case: Case) -> None:
    from safetensors.numpy import load_file

    assert set(made(run, run.path("bundle"))) == {"base", *VARIANTS}
    weights = {
        name: load_file(run.path("variants") / name / "train" / "best" / "personalizer.safetensors")
        for name in ("no-gate", "no-attention", "no-text", "lora")
    }
    assert not weights["no-gate"]["gate_start"].any()
    assert not weights["no-attention"]["attention"].any()
    session = bench.session("no-gate")
    np.testing.assert_allclose(session.personalizer.gates(), 0.5)
    steps = {name: json.loads((run.path("variants") / name / "result.json").read_text())["steps"] for name in VARIANTS}
    assert len(set(steps.values())) == 1, steps
    for method in (*ABLATIONS, LORA, LORA_RAG, DEP):
        opened = bench.session(method.model)
        known = method.know(bench, opened, case)
        assert known is not None
        assert score(opened, bench.alphabet(opened), case.request, scored(bench, opened, case), known)[BITS] > 0
    opened = bench.session("dep")
    assert DEP.know(bench, opened, case).soft.shape == (16, opened.manifest.shapes.hidden)  # type: ignore[union-attr]


def test_rewired_peers_are_others_who_are_observed_on_what_they_lend(bench: Bench, case: Case) -> None:
    session = bench.session()
    full = own(bench, session, case)
    for known in (random_peers(bench, session, case), global_peers(bench, session, case)):
        placement = known.persona.placement
        assert placement.shared.index.shape == full.persona.placement.shared.index.shape
        assert session.graph.row(case.pseudonym) not in placement.shared.index[0]
        assert all(session.graph.labels[b.peer, b.facet] >= 2 for b in placement.borrowed)
        assert {b.facet for b in placement.borrowed} >= {b.facet for b in full.persona.placement.borrowed}
        assert known.persona.facets == full.persona.facets


def test_the_whole_evaluation_and_a_second_one_that_finds_everything_done(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = Options(limit=2, sweeps=1, texts=1, max_tokens=4, threads=1)
    bundle = run.path("bundle")
    evaluate_bundle(bundle, run, tmp_path, options)
    report = (tmp_path / "report.md").read_text()
    assert "LIMITED to 2 people" in report
    assert "rating and the title of the target are given" in report
    assert "descriptive only" in report
    body = read_results(tmp_path)
    assert {"dataset", "people", "base", "comparisons", "values"} <= set(body)
    assert "What is claimed" in report
    assert {"claim", "figure", "people", "verdict"} == set(body["claims"][0])
    keys = {"method", "against", "metric", "difference", "low", "high", "p_holm", "people"}
    assert all(keys <= set(row) for row in body["comparisons"])
    assert set(EXPERIMENTS) - {"facets"} <= set(body["values"])
    people = {name: {len(row) for row in rows.values()} for name, rows in body["values"].items()}
    assert people["methods"] == people["ablations"] == {2}
    assert people["twins"] == people["peers"] == people["retrieval"] == people["temperature"] == {1}
    assert {"ROUGE-1", "METEOR", "BLEU", "BERTScore"} <= {row["metric"] for row in body["comparisons"]}
    assert {p.name for p in tmp_path.glob("*.png")} >= {"twins.png", "cold.png", "temperature.png"}
    assert (tmp_path / "report.html").read_text().count("<img") >= 3
    assert str(run.folder.parent) not in report + json.dumps(body)
    for person in run.histories:
        assert person not in report
    kept = (tmp_path / "values.jsonl").read_text()
    assert not any(item.output[:40] in kept for history in run.histories.values() for item in history)

    def never(*_: object) -> None:
        pytest.fail("measured again")

    monkeypatch.setattr("copersona.export.evaluation.experiments.compute.score", never)
    monkeypatch.setattr("copersona.export.evaluation.experiments.compute.generated", never)
    evaluate_bundle(bundle, run, tmp_path, replace(options, only=("methods", "twins")))
    again = read_results(tmp_path)["comparisons"]
    assert again
    assert all(row in body["comparisons"] for row in again)
    assert (tmp_path / "values.jsonl").read_text() == kept


def test_a_variant_that_is_done_is_not_trained_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VariantTrainer, "_train", lambda *_: pytest.fail("trained again"))
    make_variants(run, run.path("bundle"), ["lora", "dep", f"facets-{run.settings.facets}"])


def test_a_run_with_other_facets_counts_only_when_it_is_whole(run: Run, tmp_path: Path) -> None:
    count = 3 if run.settings.facets != 3 else 4
    copied = tmp_path / "run"
    shutil.copytree(run.folder, copied)
    asked = Run.open(copied)
    shutil.copytree(run.folder, folder := copied / "variants" / f"facets-{count}", ignore=lambda *_: {"variants"})
    Run(folder, replace(asked.settings, facets=count)).save_settings()
    assert f"facets-{count}" not in made(asked, asked.path("bundle"))  # its bundle is of other settings
    marker = folder / "done" / "bundle.json"
    body = json.loads(marker.read_text())
    marker.write_text(json.dumps({**body, "key": step_key(Run.open(folder), "bundle")}))
    assert f"facets-{count}" in made(asked, asked.path("bundle"))


def test_a_model_that_is_given_writes_what_pag_and_dpl_say(run: Run, case: Case, chat_server: ChatServer) -> None:
    chat_server.answer = lambda body: json.dumps({"lines": ["Writes of soil in full forms."]})
    writer = Ledger(Endpoint(chat_server.url, "m"), Memory())
    with Bench(run, {BASE: base_bundle(run, run.path("bundle"))}, threads=1, writer=writer) as opened:
        session = opened.session(BASE)
        for method in (pag(opened), dpl(opened)):
            assert "adapted" not in method.note
            known = method.know(opened, session, case)
            assert known is not None
            assert [f.summary for f in known.persona.facets] == ["Writes of soil in full forms"]
    sent = words(json.dumps(chat_server.bodies))
    assert words(case.history[-1].output)[:40] in sent
    assert words(case.target.output)[:40] not in sent


def test_for_whom_a_writer_had_nothing_to_say_is_counted(run: Run, tmp_path: Path, chat_server: ChatServer) -> None:
    answers = iter(['{"lines": ["Writes of soil."]}', '{"lines": []}', "I would rather not."])
    chat_server.answer = lambda body: next(answers)
    writer = Ledger(Endpoint(chat_server.url, "m"), Memory())
    folder = base_bundle(run, run.path("bundle"))
    people = cases(run, 3)
    with (
        Bench(run, {BASE: folder}, threads=1, writer=writer) as opened,
        ValueStore(tmp_path / "values.jsonl") as store,
    ):
        trials = (Trial("PAG", pag(opened)), Trial(RAG.name, RAG))
        experiment = Experiment("methods", "Methods", trials, RAG.name, "")
        plan = Plan(people, frozenset(), frozenset(), Sampling())
        measure(opened, store, [experiment], plan)
        found = collect(opened, store, experiment, plan)
    rows = {row.label: row.said for row in found.rows}
    assert rows["PAG"].endswith(", nothing for 2 of 3 people")
    assert "nothing" not in rows[RAG.name]
    assert "nothing" not in restricted(found, {people[0].person}, "one", "One").row("PAG").said


def words(text: str) -> str:
    """A text's letters as they stand in JSON that was made twice."""
    return " ".join(re.findall("[a-z]+", text.lower()))


def test_no_method_is_shown_the_true_text(bench: Bench, run: Run) -> None:
    for case in cases(run, 6):
        for trial in EXPERIMENTS["methods"](bench).trials:
            if trial.method is not None:
                session = bench.session(trial.model, trial.settings)
                prompt = session.prompt(case.request, trial.method.know(bench, session, case))
                assert words(case.target.output)[:40] not in words(session.engine.detokenize(prompt.tokens))


def test_a_table_holds_whom_the_plan_asks_though_more_is_kept(bench: Bench, run: Run, tmp_path: Path) -> None:
    everybody = cases(run, 3)
    names = [c.person for c in everybody]
    most = max(len(c.history) for c in everybody)
    plan = Plan(everybody, frozenset(names), frozenset(names[:1]), Sampling(max_tokens=4), TextMetrics(None))
    trials = [Trial("own", COPERSONA, samples=1), Trial("few", COPERSONA, least=most)]
    with ValueStore(tmp_path / "values.jsonl") as store:
        for name in names:
            store.put(trials[0].key(bench), "", "", name, {BITS: 1.0})
            store.put(generated_key(bench, trials[0], plan), "", "", name, {"ROUGE-1": 0.5})
        found = collect(bench, store, Experiment("x", "x", trials, "own", ""), plan)
    assert found.row("own").people(BITS) == names
    assert found.row("own").people("ROUGE-1") == names[:1]
    assert found.row("few").people(BITS) == [c.person for c in everybody if len(c.history) == most]


def test_texts_are_of_people_who_are_asked_in_sweeps(run: Run) -> None:
    plan = _plan(run, Options(sweeps=7, texts=3))
    assert (len(plan.sweeps), len(plan.texts)) == (7, 3)
    assert plan.texts < plan.sweeps


def test_an_evaluation_that_is_stopped_goes_on(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = Options(only=("methods",), limit=2, texts=0, threads=1)
    evaluate_bundle(run.path("bundle"), run, tmp_path / "whole", options)
    put, kept = ValueStore.put, []

    def few(store: ValueStore, *row: Any) -> None:
        if len(kept) == 7:
            raise KeyboardInterrupt
        kept.append(row)
        put(store, *row)

    with monkeypatch.context() as patched:
        patched.setattr(ValueStore, "put", few)
        with pytest.raises(KeyboardInterrupt):
            evaluate_bundle(run.path("bundle"), run, tmp_path / "stopped", options)
    evaluate_bundle(run.path("bundle"), run, tmp_path / "stopped", options)
    whole, stopped = (read_results(tmp_path / name) for name in ("whole", "stopped"))
    assert whole == stopped
    lines = [(tmp_path / name / "values.jsonl").read_text().splitlines() for name in ("whole", "stopped")]
    assert sorted(lines[0]) == sorted(lines[1])


def test_how_sure_the_model_is_leaves_out_an_end_that_it_did_not_write(bench: Bench, case: Case) -> None:
    session = bench.session()
    known, text = own(bench, session, case), "Good soil."
    tokens = session.layout.answer(text)
    logs = session.engine.score(known.soft, session.prompt(case.request, known).tokens, tokens)
    pieces = len(tokens) - 1
    ended = sureness(session, case.request, known, text, pieces, pieces + 1)
    assert ended == pytest.approx(float(logs.mean()), rel=1e-5)
    assert sureness(session, case.request, known, text, pieces, pieces) == pytest.approx(
        float(logs[:-1].mean()), rel=1e-4
    )


def test_the_best_share_of_own_evidence_is_told_by_label(bench: Bench, run: Run) -> None:
    rows = gating(bench, cases(run, 12)).rows
    assert set(rows) <= {"none", "weak", "moderate", "strong"}
    assert [row["trained gate"] for row in rows.values()] == sorted(row["trained gate"] for row in rows.values())
    assert all(row["low"] <= row["best share"] <= row["high"] for row in rows.values())


def test_what_is_scored_of_a_long_text_is_the_same_for_all_methods(bench: Bench, case: Case) -> None:
    long = replace(case, target=replace(case.target, output="soil and form " * 2_000))
    session = bench.session()
    tokens = scored(bench, session, long)
    assert session.layout.answer(long.target.output)[: len(tokens)] == tokens
    for known in (None, own(bench, session, long)):
        found = score(session, bench.alphabet(session), long.request, tokens, known)
        assert found["tokens"] == len(tokens)
        assert found["end of text"] == 0
    assert reference(bench, session, long)["tokens"] == len(tokens)
    assert scored(bench, session, case) == session.layout.answer(case.target.output)


def test_what_does_not_fit_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="unknown experiments"):
        evaluate_bundle(run.path("bundle"), run, tmp_path, Options(only=("x",)))
    with pytest.raises(ExportError, match="unknown variants"):
        evaluate_bundle(run.path("bundle"), run, tmp_path, Options(train_=("x",)))
    other = Run(tmp_path, replace(run.settings))
    (tmp_path / "graph.sqlite").write_bytes(b"another")
    with pytest.raises(ExportError, match="its graph is not the one"):
        evaluate_bundle(run.path("bundle"), other, tmp_path / "out", Options())
    changes: tuple[dict[str, Any], ...] = (
        {"context": changed(run.settings.context, {"recent": 1})},
        {"train": replace(run.settings.train, dropout=replace(run.settings.train.dropout, persona=0.5))},
        {"quantize": "f32"},
    )
    for change in changes:
        with pytest.raises(ExportError, match=r"has other settings by now \((context|training dropout|quantize)\)"):
            evaluate_bundle(
                run.path("bundle"), Run(run.folder, replace(run.settings, **change)), tmp_path / "out", Options()
            )
