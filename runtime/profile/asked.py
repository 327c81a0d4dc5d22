"""What someone typed to an assistant says what they asked, not how they write: it supports a facet weakly at most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from copersona.runtime.history.interactions import ASKED, Interaction, clean_text
from copersona.runtime.profile.facets import FacetProfile, FacetSchema, Profile, Reliability
from copersona.runtime.profile.profiler import RECENT, measure, reliability, support
from copersona.runtime.profile.served import served

BELOW = float(np.nextafter(0.5, 0.0))  # the most support that is weak


def evidence(history: Sequence[Interaction]) -> tuple[list[str], list[str]]:
    """What the person wrote, oldest first: to others or for themselves, and to an assistant."""
    own = [one.output for one in history if one.input != ASKED]
    return own, [one.output for one in history if one.input == ASKED]


def with_asked(profile: Profile, texts: Sequence[str], schema: FacetSchema) -> Profile:
    """The profile, where a facet without support is weakly supported if these texts support it at all; of it nothing
    else changes."""
    clean = served([text for text in map(clean_text, texts[-RECENT:]) if text], schema.scripts)
    if not clean:
        return profile
    measured = measure(clean, schema)

    def raised(facet: FacetProfile, place: int) -> FacetProfile:
        if facet.reliability != Reliability.NONE:
            return facet
        figure = min(support(schema.facets[place], measured, schema), BELOW)
        return facet if figure <= facet.support else replace(facet, reliability=reliability(figure), support=figure)

    return profile._replace(facets=tuple(raised(facet, place) for place, facet in enumerate(profile.facets)))
