"""Population to facet profiles: everyone's profile at every point where something is predicted.

A *state* is a person's history up to a cut: the profile of what they had written by then. Training people's states at
validation are the peers of the graph; states at earlier cuts feed training targets, which may see only what came
strictly before them. The profiler is the runtime's own; the encoder is the one that ships, one text at a
time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from copersona.export.data.splits import FIRST_TARGET, Splits
from copersona.runtime.common.arrays import F32, F64, I32
from copersona.runtime.common.progress import track
from copersona.runtime.history.interactions import History, outputs
from copersona.runtime.profile.facets import FacetSchema, Profile, Reliability
from copersona.runtime.profile.model_profiler import ModelProfiler
from copersona.runtime.profile.profiler import (
    Centring,
    Encode,
    facet_score,
    fit_centring,
    measure,
    placeholder_vector,
    profile_history,
    standardise,
)

WEIGHTS = (0.3, 0.4, 0.5, 0.6, 0.7)


@dataclass(frozen=True, slots=True)
class State:
    """A person's history cut before interaction `cut`: what is known when interaction `cut` is written."""

    person: str
    cut: int


def states_of(splits: Splits) -> list[State]:
    """Training targets (training people, from the third interaction on), then everyone's validation and test states.

    A training person's state at `seen` is their peer row; people without held-out interactions have one as well.
    """
    states = []
    for person, split in splits.items():
        if not split.new:
            states += [State(person, cut) for cut in range(FIRST_TARGET, split.seen)]
        if split.held_out or not split.new:
            states.append(State(person, split.seen))
        if split.held_out:
            states.append(State(person, split.seen + 1))
    return states


def profile_states(
    states: Sequence[State],
    histories: Mapping[str, History],
    schema: FacetSchema,
    encode: Encode,
    *,
    workers: int,
    model: ModelProfiler | None = None,
) -> list[Profile]:
    """Profiles of all states, in order, by statistics or by a model. `encode` is called from `workers` threads.

    Two states of one person never stand in one call to a model: the later one holds what the earlier one is to predict.
    """
    texts = [outputs(histories[state.person][: state.cut]) for state in states]
    if model is not None:
        return model.profile_many(texts, schema, encode, groups=[state.cut for state in states])
    with ThreadPoolExecutor(workers) as pool:
        work = pool.map(lambda row: profile_history(row, schema, encode), texts)
        return list(track(work, "profiling", total=len(states)))


def stack(profiles: Sequence[Profile]) -> tuple[F32, I32]:
    """Vectors (N, M, D) float32, not centred, and reliabilities (N, M) int32."""
    return np.stack([p.vectors for p in profiles]), np.stack([p.reliabilities for p in profiles])


def centre_population(vectors: F32, labels: I32, schema: FacetSchema, encode: Encode) -> Centring:
    """Layer means over the peers (U, M, D) and the centred placeholder."""
    return fit_centring(vectors, labels >= Reliability.MODERATE, placeholder_vector(schema, encode))


def halves(
    people: Sequence[str], histories: Mapping[str, History], schema: FacetSchema, encode: Encode, *, workers: int
) -> tuple[list[Profile], list[Profile]]:
    """Profiles of the odd and of the even interactions of people with four or more, for same-person figures."""
    rows = [outputs(histories[person]) for person in people if len(histories[person]) >= 4]
    jobs = [row[start::2] for start in (0, 1) for row in rows]
    with ThreadPoolExecutor(workers) as pool:
        work = pool.map(lambda texts: profile_history(texts, schema, encode), jobs)
        done = list(track(work, "halves of histories", total=len(jobs)))
    return done[: len(rows)], done[len(rows) :]


def same_person_auc(odd: F32, even: F32) -> float:
    """Chance that two halves of one person are nearer than halves of two people. (n, D), (n, D) unit rows -> [0, 1]."""
    cosine = odd @ even.T
    own, others = np.diag(cosine), np.sort(cosine[~np.eye(len(cosine), dtype=bool)])
    below = np.searchsorted(others, own, side="left") + np.searchsorted(others, own, side="right")
    return float((below / 2 / max(len(others), 1)).mean())


def facet_aucs(
    odd: Sequence[Profile], even: Sequence[Profile], schema: FacetSchema, centring: Centring
) -> dict[str, float]:
    """Same-person AUC of each facet, over people observed in both halves, and of all facets together.

    Left out are figures that fewer than two people could be compared for.
    """
    sides = []
    for half in (odd, even):
        vectors, labels = stack(half)
        seen = labels >= Reliability.MODERATE
        sides.append((centring(vectors, seen), seen))
    (left, left_seen), (right, right_seen) = sides
    figures = {}
    for m, name in enumerate(schema.names):
        both = left_seen[:, m] & right_seen[:, m]
        if both.sum() >= 2:
            figures[name] = same_person_auc(left[both, m], right[both, m])
    any_seen = left_seen.any(axis=1) & right_seen.any(axis=1)
    if any_seen.sum() < 2:
        return figures
    together = [np.where(seen[..., None], v, 0)[any_seen].reshape(int(any_seen.sum()), -1) for v, seen in sides]
    unit = [v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-9) for v in together]
    figures["all together"] = same_person_auc(unit[0], unit[1])
    return figures


def reweigh(vectors: F32, old: float, new: float, features: int) -> F32:
    """Facet vectors as another `feature_weight` would give them: the text part and the F feature columns rescaled."""
    scaled = vectors.copy()
    scaled[..., :-features] *= (1 - new) / (1 - old)
    scaled[..., -features:] *= new / old
    return scaled


def with_weight(profiles: Sequence[Profile], schema: FacetSchema, weight: float) -> list[Profile]:
    """The same profiles under another `feature_weight`."""
    old, features = schema.feature_weight, len(schema.features)
    return [Profile(p.facets, reweigh(p.vectors, old, weight, features), p.z) for p in profiles]


def choose_weight(odd: Sequence[Profile], even: Sequence[Profile], schema: FacetSchema, encode: Encode) -> float:
    """The feature weight with the best same-person AUC of all facets together, among WEIGHTS.

    Seen are two halves of training people's histories before validation, nothing that is held out.
    """

    def auc(weight: float) -> float:
        weighted = replace(schema, feature_weight=weight)
        left, right = with_weight(odd, schema, weight), with_weight(even, schema, weight)
        vectors, labels = stack([*left, *right])
        centring = centre_population(vectors, labels, weighted, encode)
        return facet_aucs(left, right, weighted, centring).get("all together", 0.5)

    return max(WEIGHTS, key=auc)


def held_out_scores(texts: Sequence[str], schema: FacetSchema) -> F64:
    """A person's score on each facet in texts that no profile saw. n texts -> (M,) float64."""
    z = standardise(measure(texts, schema).values, schema)
    return np.array([facet_score(facet, z, schema) for facet in schema.facets])
