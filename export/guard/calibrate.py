"""A guard from outcomes: its layer, its probe, its direction, and its threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from copersona.export.guard.asking import Outcome
from copersona.export.guard.judge import is_right
from copersona.export.guard.lens import Lens
from copersona.export.guard.locator import Located, deviation, locate
from copersona.export.guard.modes import Cases, best_threshold
from copersona.export.guard.people import Group
from copersona.export.guard.prober import STRENGTHS, Probe, auc, fit, fit_best, shuffled_auc
from copersona.export.guard.reading import Reader, States
from copersona.runtime.common.arrays import F32, F64, I64
from copersona.runtime.common.progress import track
from copersona.runtime.session.session import Session

MOST_LOCATED = 60  # cases a group that layers are located by


@dataclass(frozen=True, slots=True)
class Probed:
    """A probe, its threshold, and its areas under the curve: validation, test, and test with shuffled labels."""

    probe: Probe
    tau: float
    held: float
    test: float
    shuffled: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Everything of a guard but γ: `by_layer` has the prober's area under the curve on validation, (layers,);
    `alone` is the probe of the same layer that sees the request alone."""

    located: Located
    by_layer: F64
    probed: Probed
    alone: Probed
    vector: F32  # (H,)

    @property
    def layer(self) -> int:
        return self.located.layer


@dataclass(frozen=True, slots=True)
class Work:
    """What calibration reads with."""

    session: Session
    reader: Reader
    states: States
    outcomes: Sequence[Outcome]

    def of(self, group: Group) -> list[Outcome]:
        """The outcomes of a group."""
        return [one for one in self.outcomes if one.case.group == group]

    def said(self, request: str, person: str | None, answer: str) -> F32:
        """What the layers put out at the tokens of an answer: (layers, T, H)."""
        tokens = self.session.layout.text(answer)
        return self.reader.rows(request, person, tokens, last=len(tokens))


def calibrate(work: Work) -> Calibration:
    """The guard's parts. Layer, probes and direction are of training, what is chosen is chosen on validation."""
    located = _located(work)
    train, held = (told_apart(work.of(group)) for group in ("training", "validation"))
    states, held_states = work.states.of(train), work.states.of(held)
    labels, held_labels = labels_of(train), labels_of(held)
    by_layer = [
        auc(fit(states[:, k], labels, STRENGTHS[1]), held_states[:, k], held_labels) for k in range(work.reader.layers)
    ]
    return Calibration(
        located, np.array(by_layer), _probed(work, located.layer, True), _probed(work, located.layer, False),
        _direction(work, located.layer),
    )  # fmt: skip


def told_apart(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """What the prober tells apart: facts that the persona spoils, and personal questions that it helps with."""
    return [one for one in outcomes if (one.case.kind, one.did) in (("fact", "degraded"), ("personal", "beneficial"))]


def labels_of(outcomes: Sequence[Outcome]) -> I64:
    """1 of a fact, 0 of a personal question, (N,)."""
    return np.array([one.case.kind == "fact" for one in outcomes], np.int64)


def _probed(work: Work, layer: int, persona: bool) -> Probed:
    """The probe of what a layer puts out as the persona, or as nobody, who sees the request alone."""
    groups = [told_apart(work.of(group)) for group in ("training", "validation", "test")]
    states = [work.states.of(rows, persona=persona)[:, layer] for rows in groups]
    labels = [labels_of(rows) for rows in groups]
    probe = fit_best(states[0], labels[0], states[1], labels[1])
    cases = Cases.of(work.of("validation"))
    tau = best_threshold(cases, probe(work.states.of(cases.outcomes, persona=persona)[:, layer]))
    held, test = (auc(probe, *row) for row in list(zip(states, labels, strict=True))[1:])
    return Probed(probe, tau, held, test, shuffled_auc(states[0], labels[0], states[2], labels[2]))


def _located(work: Work) -> Located:
    """The layer where a persona moves the right answers most."""
    train, lens = told_apart(work.of("training")), Lens.of(work.session.bundle.path("model"))
    groups = [[one for one in train if one.case.kind == kind][:MOST_LOCATED] for kind in ("fact", "personal")]
    return locate(*(np.stack([_deviation(work, lens, one) for one in track(g, "layers")]) for g in groups))


def _deviation(work: Work, lens: Lens, one: Outcome) -> F64:
    """Of the answer that one of the two gave rightly, by layer: (layers,)."""
    said = one.nobody if one.plain_right else one.persona
    tokens = list(work.session.layout.text(next(known for known in one.case.answers if is_right(said, [known]))))
    logs = []
    for person in (one.case.person, None):
        rows = work.reader.rows(one.case.request, person, tokens[:-1], last=len(tokens))
        found = lens.logs(rows.reshape(-1, rows.shape[-1]), tokens * len(rows))
        logs.append(found.reshape(len(rows), -1).mean(axis=1))
    return deviation(*logs)


def _direction(work: Work, layer: int) -> F32:
    """From personal answers that only the persona gives rightly to facts that nobody answers rightly, (H,): the
    difference of mean outputs over the tokens of the answers."""
    train = work.of("training")
    facts = {one.case.request: one for one in train if one.case.kind == "fact" and one.plain_right}.values()
    helped = [one for one in train if one.case.kind == "personal" and one.did == "beneficial"]
    plain = [work.said(one.case.request, None, one.nobody)[layer] for one in facts]
    personal = [work.said(one.case.request, one.case.person, one.persona)[layer] for one in helped]
    return np.asarray(np.concatenate(plain).mean(axis=0) - np.concatenate(personal).mean(axis=0), np.float32)
