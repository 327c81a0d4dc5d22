"""Measuring: trial by trial and person by person, what is not known yet.

Trials of one bundle and one set of settings come together, so that a bundle is opened as seldom as can be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from copersona.export.evaluation.bench.bench import Bench
from copersona.export.evaluation.bench.bits import score
from copersona.export.evaluation.bench.cases import Case
from copersona.export.evaluation.bench.judge import Judge
from copersona.export.evaluation.bench.texts import TextMetrics
from copersona.export.evaluation.bench.values import ValueStore
from copersona.export.evaluation.experiments.trials import Experiment, Trial
from copersona.export.evaluation.methods.method import own
from copersona.runtime.common.progress import track
from copersona.runtime.engine.engine import Sampling
from copersona.runtime.people.known import Known
from copersona.runtime.session.session import Session

WRITTEN = "lines written"  # by a language model about the person, where a method has one


@dataclass(frozen=True, slots=True)
class Plan:
    """Whom and how: all `cases` are scored, in sweeps those in `sweeps`; texts are generated for those in `texts`."""

    cases: Sequence[Case]
    sweeps: frozenset[str]
    texts: frozenset[str]
    sampling: Sampling
    metrics: TextMetrics | None = None
    judge: Judge | None = None

    def asked(self, experiment: Experiment) -> Sequence[Case]:
        """The people of an experiment."""
        return [case for case in self.cases if case.person in self.sweeps] if experiment.sweep else self.cases


def measure(bench: Bench, store: ValueStore, experiments: Sequence[Experiment], plan: Plan) -> None:
    """Measure what the experiments need and the store does not hold."""
    trials = [(e, t) for e in experiments for t in e.trials]
    trials.sort(key=lambda row: (row[1].model, sorted((k, str(v)) for k, v in row[1].settings.items())))
    for experiment, trial in trials:
        run_trial(bench, store, experiment, trial, plan)
    store.sync()


def run_trial(bench: Bench, store: ValueStore, experiment: Experiment, trial: Trial, plan: Plan) -> None:
    """One trial over the experiment's people, as far as it is not known."""
    bits_key, text_key = trial.key(bench), generated_key(bench, trial, plan)
    todo = []
    for case in plan.asked(experiment):
        wants_bits = trial.bits and trial.asks(case) and not store.get(bits_key, case.person)
        wants_text = writes(trial, case, plan) and not store.get(text_key, case.person)
        if wants_bits or wants_text:
            todo.append((case, wants_bits, wants_text))
    for case, wants_bits, wants_text in track(todo, f"{experiment.name}: {trial.label}") if todo else ():
        session = bench.session(trial.model, trial.settings)
        if trial.method is None:
            store.put(bits_key, "unigram", trial.label, case.person, reference(bench, session, case))
            continue
        known = trial.method.know(bench, session, case)
        name = trial.method.name
        if wants_bits:
            found = score(session, bench.alphabet(session), case.request, scored(bench, session, case), known)
            if trial.method.writer and known is not None:
                found[WRITTEN] = float(len(known.persona.profile.facets))
            store.put(bits_key, name, trial.label, case.person, found)
        if wants_text:
            store.put(text_key, name, trial.label, case.person, generated(session, case, known, trial, plan))


def writes(trial: Trial, case: Case, plan: Plan) -> bool:
    """Whether texts of this person are generated in this trial."""
    wanted = trial.method is not None and trial.samples > 0 and plan.metrics is not None
    return wanted and case.person in plan.texts and trial.asks(case)


def generated_key(bench: Bench, trial: Trial, plan: Plan) -> str:
    """Key of what is generated."""
    sampling = sampling_of(trial, plan)
    judge = None if plan.judge is None else plan.judge.name
    metrics = None if plan.metrics is None else plan.metrics.signatures()
    return trial.key(bench, "text", asdict(sampling), trial.samples, judge, metrics)


def sampling_of(trial: Trial, plan: Plan) -> Sampling:
    """The plan's, at the trial's temperature if it has one of its own."""
    asked = trial.sampling
    return plan.sampling if asked is None else replace(plan.sampling, temperature=asked.temperature)


def scored(bench: Bench, session: Session, case: Case) -> tuple[int, ...]:
    """Tokens of the true text that are scored: as many as the longest prompt leaves room for, for all methods the
    same, so that none is compared on a text that is cut elsewhere for another."""
    request = len(session.layout.prompt(case.request).tokens)
    reserved = session.manifest.shapes.soft_tokens + bench.run.settings.context.budget + request
    return session.layout.answer(case.target.output)[: max(session.engine.context - reserved, 1)]


def reference(bench: Bench, session: Session, case: Case) -> dict[str, float]:
    """The unigram model's bits per byte."""
    answer = session.layout.answer
    tokens = scored(bench, session, case)
    found = bench.unigram(session).bits([answer(item.output) for item in case.history], tokens)
    size = len(session.engine.detokenize(tokens).encode("utf-8"))
    return {**found.per_byte(size), "bytes": float(size), "tokens": float(len(tokens))}


def generated(session: Session, case: Case, known: Known | None, trial: Trial, plan: Plan) -> dict[str, float]:
    """Figures of the texts that the model writes: likeness of the first to the true one, and, of several, confidence.

    The texts themselves are kept nowhere.
    """
    assert plan.metrics is not None
    sampling = sampling_of(trial, plan)
    answers = [
        session.answer(case.request, known, replace(sampling, seed=sampling.seed + i)).finish()
        for i in range(trial.samples)
    ]
    texts = [answer.text for answer in answers]
    row = plan.metrics.score(texts[0], case.target.output)
    if plan.judge is not None:
        row |= plan.judge.score(case.request, texts[0])
    if len(texts) > 1:
        sure = [sureness(session, case.request, known, a.text, a.receipt.pieces, sampling.max_tokens) for a in answers]
        row["log-probability of own text"] = float(np.mean(sure))
        row["agreement of samples"] = plan.metrics.alike(texts)
    return row


def sureness(session: Session, request: str, known: Known | None, text: str, pieces: int, most: int) -> float:
    """Mean log-probability (nats) of the tokens of a text that the model wrote: with its end, unless it was cut after
    so many pieces."""
    prompt, soft = session.prompt(request, known).tokens, session.nobody if known is None else known.soft
    room = session.engine.context - len(soft) - len(prompt)
    tokens = session.layout.answer(text)
    written = tokens[:-1] if pieces >= min(most, room) and len(tokens) > 1 else tokens
    return float(session.engine.score(soft, prompt, written[:room]).mean())


PEOPLE = "people"


def people_key(bench: Bench) -> str:
    """Key of what is said of people themselves."""
    from copersona.export.evaluation.methods.copersona import COPERSONA

    return Trial(PEOPLE, COPERSONA).key(bench, PEOPLE)


def measure_people(bench: Bench, store: ValueStore, plan: Plan) -> None:
    """Of each person: facets that are not strongly supported, interactions, characters of the true text, whether its
    end is cut off, whether new."""
    key = people_key(bench)
    todo = [case for case in plan.cases if not store.get(key, case.person)]
    for case in track(todo, "people") if todo else ():
        session = bench.session()
        labels = own(bench, session, case).persona.labels
        whole = len(session.layout.answer(case.target.output))
        row = {
            "facets not strong": float((labels < 3).sum()),
            "facets not observed": float((labels < 2).sum()),
            "interactions": float(len(case.history)),
            "characters": float(len(case.target.output)),
            "cut": float(len(scored(bench, session, case)) < whole),
            "new": float(case.new),
        }
        store.put(key, PEOPLE, "", case.person, row)
