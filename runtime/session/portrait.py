"""A person as they are known at one moment, for people to look at: facets, what is lent, what the last text moved.

Plain data; screens and pages draw it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from copersona.runtime.history.interactions import History, Interaction, clean_text
from copersona.runtime.people.known import Known
from copersona.runtime.profile.facets import PERSON, PLACEHOLDER, Facet
from copersona.runtime.profile.profiler import facet_score
from copersona.runtime.session.receipt import FacetUsed, facets_used
from copersona.runtime.session.session import Session


@dataclass(frozen=True, slots=True)
class Lent:
    """A peer's facet: their number, how similar they are, what their facet says, whether it is in the prompt."""

    peer: str
    similarity: float
    says: str
    in_prompt: bool


@dataclass(frozen=True, slots=True)
class FacetShown:
    """One facet of a person. `own` is the gate: this share is theirs, the rest is the similar people's; None where
    nothing is trained. `lacking`: the person's own texts say too little. `corrected`: they said it themselves."""

    facet: str
    says: str
    reliability: str
    own: float | None
    lacking: bool
    lent: tuple[Lent, ...]
    quotes: tuple[str, ...] = ()
    corrected: bool = False
    left_out: bool = False


@dataclass(frozen=True, slots=True)
class FacetMove:
    """One facet before and after; scores are standard deviations from the population's mean, None where it has none."""

    facet: str
    before: FacetShown
    after: FacetShown
    score_before: float | None
    score_after: float | None


@dataclass(frozen=True, slots=True)
class Portrait:
    """A person as known: `texts` in all, their facets, how similar the nearest are, and where each quote stands."""

    texts: int
    facets: tuple[FacetShown, ...]
    neighbors: tuple[float, ...]
    sources: dict[str, Interaction]


@dataclass(frozen=True, slots=True)
class Moved:
    """What the last text moved: facets, and who came among the nearest and who went. Nothing before the second text."""

    facets: tuple[FacetMove, ...] = ()
    came: tuple[str, ...] = ()
    went: tuple[str, ...] = ()


def portrait(session: Session, known: Known) -> Portrait:
    """What is to be shown of a person."""
    prompt = session.layout.complete(session.prepared(known).fixed, "")
    facets = tuple(facet_shown(session, used) for used in facets_used(session, prompt, known))
    pairs = known.persona.placement.shared.similarity[0].tolist()
    return Portrait(
        texts=known.earlier + len(known.history),
        facets=facets,
        neighbors=tuple(round(value, 4) for value in pairs[: len(neighbors(session, known))]),
        sources=_sources(facets, known.history),
    )


def moved(session: Session, known: Known) -> Moved:
    """The difference to the person without their last text, who is profiled for it: so only when it is asked for, and
    not where a model makes profiles, which would be asked again."""
    if len(known.history) < 2 or known.persona.profile.by:
        return Moved()
    before = session.know(known.history[:-1], wishes=known.wishes)
    now, then = neighbors(session, known), neighbors(session, before)
    came, went = (tuple(peer for peer in here if peer not in there) for here, there in ((now, then), (then, now)))
    return Moved(facet_moves(session, before, known), came, went)


def facet_shown(session: Session, used: FacetUsed) -> FacetShown:
    """A facet of a receipt, with what the peers' facets say."""
    graph, names = session.graph, session.schema.names
    lent = []
    for peer in used.borrowed:
        theirs = graph.profile(graph.row(peer.peer))[names.index(used.facet)]
        lent.append(Lent(peer.peer, peer.similarity, _says(used.facet, theirs.summary), peer.shown))
    lacking = used.summary == PLACEHOLDER
    says = "" if lacking else _says(used.facet, used.summary)
    shown = FacetShown(used.facet, says, used.reliability, used.gate, lacking, tuple(lent), used.quotes)
    return replace(shown, corrected=used.source == PERSON, left_out=used.left_out)


def facet_moves(session: Session, before: Known, after: Known) -> tuple[FacetMove, ...]:
    """What came between two moments of a person, facet by facet."""
    rows = zip(session.schema.facets, _facets(session, before), _facets(session, after), strict=True)
    return tuple(
        FacetMove(facet.name, was, now, _score(session, facet, before), _score(session, facet, after))
        for facet, was, now in rows
    )


def neighbors(session: Session, known: Known) -> tuple[str, ...]:
    """The pseudonyms of those nearest in all, nearest first."""
    names = session.graph.pseudonyms
    return tuple(names[row] for row in known.persona.placement.shared.index[0].tolist() if row >= 0)


def _facets(session: Session, known: Known) -> tuple[FacetShown, ...]:
    """Facets of a person whose prompt nobody asks for."""
    gate = session.bundle.gate
    return tuple(
        facet_shown(session, FacetUsed(f.facet, f.reliability.label, f.summary, (), gate(f.reliability), ()))
        for f in known.persona.profile.facets
    )


def _score(session: Session, facet: Facet, known: Known) -> float | None:
    if facet.kind == "categorical" or not known.history:
        return None
    return facet_score(facet, known.persona.profile.z, session.schema)


def _sources(facets: tuple[FacetShown, ...], history: History) -> dict[str, Interaction]:
    """The latest text in which each quote stands."""
    quotes = {quote for facet in facets for quote in facet.quotes}
    found: dict[str, Interaction] = {}
    for one in reversed(history):
        text = clean_text(one.output)
        found |= {quote: one for quote in quotes if quote not in found and quote in text}
    return found


def _says(facet: str, summary: str) -> str:
    """A facet's summary without its name in front."""
    return summary.removeprefix(f"{facet}: ")
