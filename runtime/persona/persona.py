"""What the runtime knows of a person at one moment: profile, place in the graph, gates' inputs, lines of text.

One function makes it, on the device from a history and in the export for every training target, so that both see the
same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from copersona.runtime.common.arrays import F32, I32
from copersona.runtime.persona.abstention import abstain
from copersona.runtime.persona.brake import own_reliability, trust
from copersona.runtime.persona.graph import PersonaGraph, Placement
from copersona.runtime.persona.peer_lines import PeerLine, peer_line
from copersona.runtime.persona.personalizer import PersonaInputs
from copersona.runtime.profile.facets import PERSON, FacetProfile, Profile, Reliability
from copersona.runtime.profile.profiler import Centring


class PersonaSettings(NamedTuple):
    """How a persona is made of a profile: peers shown for a facet that is lacking, strength of the near-twin brake (0:
    off), and the least support of a facet of which anything is said."""

    peers: int = 3
    brake: float = 0.0
    confidence: float = 0.0


PLAIN = PersonaSettings()


@dataclass(frozen=True, slots=True)
class Persona:
    """A person's facet profiles (M of them), centred vectors (M, D), labels (M,), placement, and what goes into the
    prompt.

    `inputs` is None for a person of whom nothing is observed: their soft prompt is nobody's. Of facets that are
    `left_out` (their places) nothing is there, and nothing is borrowed.
    """

    profile: Profile
    vectors: F32
    labels: I32
    placement: Placement
    peers: tuple[PeerLine, ...]
    inputs: PersonaInputs | None
    left_out: tuple[int, ...] = ()

    @property
    def facets(self) -> tuple[FacetProfile, ...]:
        """Observed facets only: placeholders say nothing and are not shown. What the person said comes first."""
        observed = (f for f in self.profile.facets if f.reliability.observed)
        return tuple(sorted(observed, key=lambda f: f.source != PERSON))

    def believed(self, brake: float) -> F32:
        """How far the shared neighbours are believed with a brake of this strength, facet by facet. (M,)"""
        if self.inputs is None:
            return np.zeros(len(self.labels), np.float32)
        return trust(self.placement.shared.similarity[0], self.inputs.present, own_reliability(self.labels), brake)


def make_persona(
    profile: Profile,
    centring: Centring,
    graph: PersonaGraph,
    settings: PersonaSettings = PLAIN,
    *,
    own_row: int = -1,
    without: Sequence[int] = (),
    left_out: Sequence[int] = (),
) -> Persona:
    """Place a profile in the graph. `own_row` is the person's own row if they took part, `without` rows of others who
    are no neighbours here, `left_out` places of facets that the profile is without."""
    profile, brake = abstain(profile, settings.confidence), settings.brake
    labels = profile.reliabilities
    observed = labels >= Reliability.MODERATE
    vectors = centring(profile.vectors, observed)
    placement = graph.place(vectors, labels, own_row=own_row, peers_shown=settings.peers, without=without, brake=brake)
    if left_out:
        placement = placement._replace(borrowed=tuple(b for b in placement.borrowed if b.facet not in left_out))
    lines = tuple(
        peer_line(b.facet, b.peer, graph.profile(b.peer)[b.facet], lacking=b.lacking)
        for b in sorted(placement.borrowed, key=lambda b: (not b.lacking, -b.similarity))
    )
    inputs = graph.inputs(vectors, labels, placement.shared, brake, left_out) if observed.any() else None
    return Persona(profile, vectors, labels, placement, lines, inputs, tuple(left_out))
