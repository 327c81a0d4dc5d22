"""The record of one answer: what was retrieved, injected and used, gates, neighbours, versions, seed.

It names interactions by digest and date and peers by pseudonym; the request and the shown lines are in it, because it
stays on the machine with the person. JSON in exactly one place: `to_json`.
"""

from __future__ import annotations

import functools
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from copersona.runtime.engine.llama import build_info
from copersona.runtime.engine.sampling import Sampling
from copersona.runtime.profile.facets import Reliability
from copersona.runtime.profile.profiler import VERSION as PROFILER_VERSION
from copersona.runtime.prompt.layout import Prompt
from copersona.runtime.session.guarding import Guarded, Verdict
from copersona.runtime.session.recall import Recall

if TYPE_CHECKING:
    from copersona.runtime.people.known import Known
    from copersona.runtime.session.session import Session


@dataclass(frozen=True, slots=True)
class FacetUsed:
    """One facet of the person: how well supported, how much of it is their own (gate; None where nothing is trained),
    from whom the rest came."""

    facet: str
    reliability: str
    summary: str
    quotes: tuple[str, ...]
    gate: float | None
    borrowed: tuple[PeerUsed, ...]


@dataclass(frozen=True, slots=True)
class PeerUsed:
    """A peer's facet in the prompt. `lacking`: the person's own history does not support the facet."""

    peer: str
    similarity: float
    lacking: bool
    shown: bool


@dataclass(frozen=True, slots=True)
class Retrieved:
    """An interaction of the person's own in the prompt; `by` is recent, or the matcher that found it."""

    by: str
    digest: str
    time: float | None
    request: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one answer was made from. Where nothing was `trained` the soft prompt is "none" and the model as published.
    `neighbors` are the shared neighbours of the parametric branch, with cosine; `recall` is whether the person was
    recalled at all, None of nobody; `guard` what the factuality guard decided, None where none was asked. Where it
    removed the persona, all else is of nobody's prompt."""

    request: str
    person: str | None
    trained: bool
    soft_prompt: str
    facets: tuple[FacetUsed, ...]
    neighbors: tuple[tuple[str, float], ...]
    retrieved: tuple[Retrieved, ...]
    context: dict[str, int | str]
    prompt_tokens: dict[str, int]
    left_out: tuple[str, ...]
    sampling: dict[str, float]
    versions: dict[str, str]
    recall: Recall | None = None
    guard: Guarded | None = None
    pieces: int = 0

    def to_json(self, indent: int | None = None) -> str:
        """The receipt as JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=indent)


def make_receipt(
    session: Session, request: str, prompt: Prompt, known: Known | None, sampling: Sampling, person: str | None,
    recall: Recall | None = None, verdict: Verdict | None = None,
) -> Receipt:  # fmt: skip
    """The record of an answer; `known` is None where nobody is recalled. Where there is a verdict, it must be found."""
    if verdict is not None:
        prompt, known = verdict.made_from(prompt, known)
    neighbors: tuple[tuple[str, float], ...] = ()
    trained = session.manifest.trained
    if known is not None and trained:
        shared = known.persona.placement.shared
        pairs = zip(shared.index[0].tolist(), shared.similarity[0].tolist(), strict=True)
        neighbors = tuple((session.graph.pseudonyms[row], round(value, 4)) for row, value in pairs if row >= 0)
    soft = "none" if not trained else "nobody" if known is None or known.persona.inputs is None else "persona"
    return Receipt(
        request=request,
        person=person,
        trained=trained,
        soft_prompt=soft,
        facets=facets_used(session, prompt, known),
        neighbors=neighbors,
        retrieved=_retrieved(prompt, session.context.matcher),
        context=asdict(session.context),
        prompt_tokens={"soft": session.manifest.shapes.soft_tokens, **{s.name: len(s.tokens) for s in prompt.segments}},
        left_out=prompt.cut,
        sampling=asdict(sampling),
        versions={
            "copersona": _version(),
            "bundle": session.manifest.bundle_id,
            "population": session.manifest.population_id,
            "engine": build_info(),
            "profiler": (known.persona.profile.by if known is not None else "") or str(PROFILER_VERSION),
        },
        recall=recall,
        guard=None if verdict is None else verdict.found,
    )


@functools.cache
def _version() -> str:
    from importlib.metadata import version  # takes a tenth of opening a bundle

    return version("copersona")


def _retrieved(prompt: Prompt, matcher: str) -> tuple[Retrieved, ...]:
    found = [("recent", item) for item in prompt.recent] + [(matcher, item) for item in prompt.matched]
    return tuple(Retrieved(by, item.digest, item.time, item.request()) for by, item in found)


def facets_used(session: Session, prompt: Prompt, known: Known | None) -> tuple[FacetUsed, ...]:
    """All facets of a person, and which of the peers' stand in this prompt; none of nobody."""
    if known is None:
        return ()
    shown = {(line.peer, line.facet) for line in prompt.peers}
    used = []
    for m, profile in enumerate(known.persona.profile.facets):
        borrowed = tuple(
            PeerUsed(session.graph.pseudonyms[b.peer], round(b.similarity, 4), b.lacking, (b.peer, m) in shown)
            for b in known.persona.placement.borrowed
            if b.facet == m
        )
        label = Reliability(profile.reliability)
        gate = session.bundle.gate(label)
        used.append(FacetUsed(profile.facet, label.label, profile.summary, profile.quotes, gate, borrowed))
    return tuple(used)
