"""A profile as its person wants it: facets in their own words, and facets that are left out."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from copersona.runtime.profile.facets import PERSON, PLACEHOLDER, FacetProfile, FacetSchema, Profile, Reliability
from copersona.runtime.profile.profiler import Encode, evidence_text, facet_vector


def with_corrections(profile: Profile, said: Mapping[str, str], schema: FacetSchema, encode: Encode) -> Profile:
    """The profile with these facets in the person's own words, which are strong evidence. Their vectors are of the
    words alone: what is measured of the facet's features, which the person contradicts, counts as average."""
    facets, vectors = list(profile.facets), profile.vectors.copy()
    average = np.zeros(len(schema.features), np.float32)
    for place, facet in enumerate(schema.facets):
        if facet.name in said:
            summary = f"{facet.name}: {said[facet.name].removesuffix('.')}"
            facets[place] = FacetProfile(facet.name, summary, (), Reliability.STRONG, 1.0, PERSON)
            vectors[place] = facet_vector(facet, average, encode(evidence_text(summary, ())), schema)
    return profile._replace(facets=tuple(facets), vectors=vectors)


def without_facets(profile: Profile, left_out: Collection[str]) -> Profile:
    """The profile as if nothing had ever supported these facets."""
    if not left_out:
        return profile
    facets, vectors = list(profile.facets), profile.vectors.copy()
    for place, facet in enumerate(facets):
        if facet.facet in left_out:
            facets[place] = FacetProfile(facet.facet, PLACEHOLDER, (), Reliability.NONE, 0.0)
            vectors[place] = 0
    return profile._replace(facets=tuple(facets), vectors=vectors)
