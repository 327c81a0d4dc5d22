"""What was computed of a person, kept until something changes that it was made from.

In the people store as one row of texts and arrays (never pickle) a person and population, and one for the soft prompt
a person and personalizer, so that bundles of one population share the persona; in memory as it is. The key is a hash
of what a persona depends on; a row that was changed, or does not fit the bundle, is made anew.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from dataclasses import asdict
from typing import Any

import numpy as np

from copersona.runtime.bundle.manifest import Shapes
from copersona.runtime.common.arrays import F32
from copersona.runtime.history.interactions import History
from copersona.runtime.people.known import Known
from copersona.runtime.people.tables import KeptPersona, KeptSoft, Written
from copersona.runtime.people.wishes import NO_WISHES, Wishes
from copersona.runtime.persona.graph import Borrowed, PersonaGraph, Placement
from copersona.runtime.persona.neighbors import Edges, Ranked
from copersona.runtime.persona.peer_lines import PeerLine
from copersona.runtime.persona.persona import Persona
from copersona.runtime.profile.facets import FacetProfile, Profile, Reliability
from copersona.runtime.profile.profiler import VERSION as PROFILER_VERSION

VERSION = 4  # of how a persona is made from a profile, and of the row's form
REMEMBERED = 64  # people in memory; the least recently used go first


def persona_key(
    population: str, profiler: str, peers: int, peer: str | None, written: Written, wishes: Wishes = NO_WISHES
) -> str:
    """Hash of all that a persona is made from: the population's id (so encoder, facet schema and graph), who profiles,
    the person's own pseudonym, how many peers are shown, what they wrote and what they want of it. Nothing of a
    language model."""
    body = [VERSION, population, PROFILER_VERSION, profiler, peers, peer, *written, asdict(wishes)]
    return hashlib.sha256(json.dumps(body).encode("utf-8")).hexdigest()


def write_persona(key: str, persona: Persona) -> KeptPersona:
    """The row of a persona."""
    from safetensors.numpy import save

    profile, placement = persona.profile, persona.placement
    texts = json.dumps(
        {
            "by": profile.by,
            "facets": [asdict(facet) for facet in profile.facets],
            "borrowed": [asdict(borrowed) for borrowed in placement.borrowed],
            "peers": [asdict(line) for line in persona.peers],
            "left_out": persona.left_out,
        },
        ensure_ascii=False,
    )
    arrays = {
        "profile.vectors": profile.vectors,
        "profile.z": profile.z,
        "vectors": persona.vectors,
        "labels": persona.labels,
        **{f"edges.{name}": array for name, array in placement.edges._asdict().items()},
        **{f"shared.{name}": array for name, array in placement.shared._asdict().items()},
        **{f"combined.{name}": array for name, array in placement.combined._asdict().items()},
    }
    raw = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    return KeptPersona(key, _digest(key, texts, raw), texts, raw)


def read_persona(kept: KeptPersona, graph: PersonaGraph, shapes: Shapes) -> Persona | None:
    """Inverse of `write_persona`; None where the row is not what was written, or not for a bundle of these shapes."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if kept.sha256 != _digest(kept.key, kept.texts, kept.arrays):
        return None
    try:
        return _persona(json.loads(kept.texts), load(kept.arrays), graph, shapes)
    except (ValueError, KeyError, TypeError, IndexError, SafetensorError):
        return None


def _persona(texts: dict[str, Any], arrays: dict[str, Any], graph: PersonaGraph, shapes: Shapes) -> Persona:
    vectors, labels = arrays["vectors"], arrays["labels"]
    if vectors.shape != (shapes.facets, shapes.width):
        raise ValueError("of another bundle")
    facets = tuple(
        FacetProfile(**{**row, "quotes": tuple(row["quotes"]), "reliability": Reliability(row["reliability"])})
        for row in texts["facets"]
    )
    edges = Edges(*(arrays[f"edges.{name}"] for name in Edges._fields))
    shared, combined = (
        Ranked(*(arrays[f"{part}.{name}"] for name in Ranked._fields)) for part in ("shared", "combined")
    )
    placement = Placement(edges, shared, combined, tuple(Borrowed(**row) for row in texts["borrowed"]))
    profile = Profile(facets, arrays["profile.vectors"], arrays["profile.z"], texts["by"])
    lines, left_out = tuple(PeerLine(**row) for row in texts["peers"]), tuple(texts["left_out"])
    inputs = graph.inputs(vectors, labels, shared, left_out) if (labels >= Reliability.MODERATE).any() else None
    return Persona(profile, vectors, labels, placement, lines, inputs, left_out)


def write_soft(key: str, soft: F32) -> KeptSoft:
    """The row of a soft prompt (L, H) float32; `key` is that of its persona."""
    raw = np.ascontiguousarray(soft, "<f4").tobytes()
    return KeptSoft(key, _digest(key, "", raw), raw)


def read_soft(kept: KeptSoft, key: str, shapes: Shapes) -> F32 | None:
    """Inverse of `write_soft`, (L, H) float32; None where the row is not what was written, or of another persona."""
    size = shapes.soft_tokens * shapes.hidden * 4
    if kept.key != key or kept.sha256 != _digest(key, "", kept.soft) or len(kept.soft) != size:
        return None
    return np.frombuffer(kept.soft, "<f4").astype(np.float32).reshape(shapes.soft_tokens, shapes.hidden)


def _digest(key: str, texts: str, raw: bytes) -> str:
    return hashlib.sha256(f"{key}\n{texts}\n".encode("utf-8", "surrogatepass") + raw).hexdigest()


class PersonaMemory:
    """The people that a session knows at the moment, by name."""

    def __init__(self, limit: int = REMEMBERED) -> None:
        self._limit = limit
        self._people: OrderedDict[str, tuple[str, Known]] = OrderedDict()

    def get(self, name: str, key: str, history: History) -> Known | None:
        """The person, if nothing changed, item words included."""
        before, known = self._people.get(name, ("", None))
        if known is None or before != key or known.history != history:
            return None
        self._people.move_to_end(name)
        return known

    def put(self, name: str, key: str, known: Known) -> None:
        """Remember a person in the place of what was remembered of them."""
        self._people[name] = (key, known)
        self._people.move_to_end(name)
        while len(self._people) > self._limit:
            self._people.popitem(last=False)

    def forget(self, name: str) -> None:
        """Forget a person; it is no error if they are not remembered."""
        self._people.pop(name, None)
