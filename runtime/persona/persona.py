"""What the runtime knows of a person at one moment: profile, place in the graph, gates' inputs, lines of text.

One function makes it, on the device from a history and in the export for every training target, so that both see the
same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from copersona.runtime.common.arrays import F32, I32
from copersona.runtime.persona.graph import PersonaGraph, Placement
from copersona.runtime.persona.peer_lines import PeerLine, peer_line
from copersona.runtime.persona.personalizer import PersonaInputs
from copersona.runtime.profile.facets import PERSON, FacetProfile, Profile, Reliability
from copersona.runtime.profile.profiler import Centring


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


def make_persona(
    profile: Profile,
    centring: Centring,
    graph: PersonaGraph,
    *,
    own_row: int = -1,
    peers: int = 3,
    without: Sequence[int] = (),
    left_out: Sequence[int] = (),
) -> Persona:
    """Place a profile in the graph. `own_row` is the person's own row if they took part, `peers` how many to show a
    facet, `without` rows of others who are no neighbours here, `left_out` places of facets that the profile is
    without."""
    labels = profile.reliabilities
    observed = labels >= Reliability.MODERATE
    vectors = centring(profile.vectors, observed)
    placement = graph.place(vectors, labels, own_row=own_row, peers_shown=peers, without=without)
    if left_out:
        placement = placement._replace(borrowed=tuple(b for b in placement.borrowed if b.facet not in left_out))
    lines = tuple(
        peer_line(b.facet, b.peer, graph.profile(b.peer)[b.facet], lacking=b.lacking)
        for b in sorted(placement.borrowed, key=lambda b: (not b.lacking, -b.similarity))
    )
    inputs = graph.inputs(vectors, labels, placement.shared, left_out) if observed.any() else None
    return Persona(profile, vectors, labels, placement, lines, inputs, tuple(left_out))
