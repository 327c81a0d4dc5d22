"""What is not said of a person: facets that their texts support too little to be right about."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from copersona.runtime.profile.facets import PLACEHOLDER, Profile, Reliability


def abstain(profile: Profile, least: float) -> Profile:
    """The profile without observed facets of less support than this: they are weak, and lacking in both branches."""
    unsure = np.array([facet.reliability.observed and facet.support < least for facet in profile.facets])
    if not unsure.any():
        return profile
    facets = tuple(
        replace(facet, summary=PLACEHOLDER, quotes=(), reliability=Reliability.WEAK) if out else facet
        for facet, out in zip(profile.facets, unsure, strict=True)
    )
    return profile._replace(facets=facets, vectors=np.where(unsure[:, None], np.float32(0), profile.vectors))
