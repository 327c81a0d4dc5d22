"""Peers chosen in another way than by facets: at random, or by one global embedding of all that someone wrote.

Given an order of all others, the shared neighbours are its first ones, and a facet is borrowed from the first of it who
are observed on the facet; so both branches get their peers by that order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from copersona.runtime.common.arrays import F32, I32, unit_rows
from copersona.runtime.history.interactions import History, Interaction, clean_text
from copersona.runtime.persona.graph import Borrowed, PersonaGraph
from copersona.runtime.persona.neighbors import SHARED, Ranked
from copersona.runtime.persona.peer_lines import peer_line
from copersona.runtime.persona.persona import Persona
from copersona.runtime.profile.facets import Reliability
from copersona.runtime.profile.profiler import Encode

LATEST = 20  # texts that a global embedding is the mean of


def order_name(history: History, target: Interaction) -> str:
    """A name for a random order that is new with every target: random peers then tell nothing of who it is."""
    return ":".join([target.digest, *(item.digest for item in history[-1:])])


def random_order(graph: PersonaGraph, own_row: int, name: str) -> I32:
    """All others in an order that depends on the name alone."""
    rows = np.flatnonzero(np.arange(len(graph.pseudonyms)) != own_row).astype(np.int32)
    order: I32 = np.random.default_rng(np.frombuffer(name.encode(), np.uint8)).permutation(rows)
    return order


def global_vectors(histories: Sequence[History], encode: Encode) -> tuple[F32, F32]:
    """Mean text vector of each, centred, unit rows (U, E), and the mean that was taken off, (E,)."""
    rows = np.stack([_mean(history, encode) for history in histories])
    centre = rows.mean(axis=0)
    return unit_rows(rows - centre), centre


def global_order(history: History, encode: Encode, peers: tuple[F32, F32], own_row: int) -> I32:
    """All others, the most similar by global embedding first."""
    vectors, centre = peers
    scores = vectors @ unit_rows((_mean(history, encode) - centre)[None])[0]
    order = np.argsort(-scores, kind="stable").astype(np.int32)
    others: I32 = order[order != own_row]
    return others


def _mean(history: History, encode: Encode) -> F32:
    rows = [encode(clean_text(item.output)) for item in history[-LATEST:]]
    mean: F32 = np.mean(rows, axis=0, dtype=np.float32)
    return mean


def rewired(persona: Persona, graph: PersonaGraph, order: I32, shown: int) -> Persona:
    """The persona with neighbours and borrowed facets in this order of others."""
    rows = np.full((1, SHARED), -1, np.int32)
    rows[0, : len(order[:SHARED])] = order[:SHARED]
    shared = Ranked(rows, np.zeros((1, SHARED), np.float32))
    borrowed = []
    for facet, label in enumerate(persona.labels.tolist()):
        lacking = label < Reliability.MODERATE
        able = order[graph.labels[order, facet] >= int(Reliability.MODERATE)]
        count = (shown if lacking else 1) if shown > 0 else 0
        borrowed += [Borrowed(facet, int(peer), 0.0, lacking) for peer in able[:count]]
    lines = tuple(
        peer_line(b.facet, b.peer, graph.profile(b.peer)[b.facet], lacking=b.lacking)
        for b in sorted(borrowed, key=lambda b: not b.lacking)
    )
    inputs = None if persona.inputs is None else graph.inputs(persona.vectors, persona.labels, shared)
    placement = persona.placement._replace(shared=shared, combined=shared, borrowed=tuple(borrowed))
    return Persona(persona.profile, persona.vectors, persona.labels, placement, lines, inputs)
