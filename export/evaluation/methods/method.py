"""The one interface of all methods: who a model is told that the person is.

A method chooses a bundle, changes of the context settings, and makes a `Known` of a case; everything after that, prompt
segments, engine and decoding, is the runtime's and the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from copersona.export.evaluation.bench.bench import TRAINED, Bench
from copersona.export.evaluation.bench.cases import Case
from copersona.runtime.common.arrays import F32
from copersona.runtime.people.known import Known
from copersona.runtime.persona.persona import Persona
from copersona.runtime.profile.facets import FacetProfile, Profile, Reliability
from copersona.runtime.session.session import Session

Knowing = Callable[[Bench, Session, Case], Known | None]
"""What is known of the person of a case; None is the trained "nobody"."""


@dataclass(frozen=True, slots=True)
class Method:
    """`name` is the row of a table, `model` the bundle's, `note` says what stands in for what or was not retrained.

    `writer` names the language model that writes for it. `version` counts up when what `know` does changes: values of
    before are then measured anew.
    """

    name: str
    know: Knowing
    model: str = TRAINED
    context: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    writer: str = ""
    version: int = 1


def own(bench: Bench, session: Session, case: Case) -> Known:
    """The person as the device knows them."""
    return bench.know(session, case.history, case.pseudonym)


def no_soft(session: Session) -> F32:
    """No soft prompt at all, (0, H)."""
    return np.empty((0, session.manifest.shapes.hidden), np.float32)


def silent(persona: Persona) -> Persona:
    """The same persona with nothing to say in text."""
    return replace(persona, profile=replace_facets(persona.profile, ()), peers=())


def saying(persona: Persona, lines: Sequence[str]) -> Persona:
    """The same persona with these lines in the place of facets and peers."""
    facets = tuple(FacetProfile("", line.rstrip("."), (), Reliability.STRONG, 1.0) for line in lines)
    return replace(persona, profile=replace_facets(persona.profile, facets), peers=())


def replace_facets(profile: Profile, facets: tuple[FacetProfile, ...]) -> Profile:
    return profile._replace(facets=facets)
