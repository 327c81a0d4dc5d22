"""What a prompt says of a similar person: one facet of theirs as one line."""

from __future__ import annotations

from dataclasses import dataclass

from copersona.runtime.profile.facets import FacetProfile


@dataclass(frozen=True, slots=True)
class PeerLine:
    """One peer's facet as shown: a pseudonym is never shown, a number within the prompt is."""

    text: str
    peer: int
    facet: int
    lacking: bool


def peer_line(facet: int, peer: int, profile: FacetProfile, *, lacking: bool) -> PeerLine:
    """A peer's facet as one line; where the person's own history is silent, with a quote of theirs if there is one."""
    quote = f' e.g. "{profile.quotes[0]}"' if lacking and profile.quotes else ""
    return PeerLine(f"{profile.summary}.{quote}", peer, facet, lacking)
