"""Do facet vectors hold a person's style? A linear guess at the style of the text that a person wrote next.

Ridge regression from the facet vectors that the soft prompt is made of, as long as they are, and, to compare, from the
mean style of the texts that they were made from, standardised. R² of each feature on people whom the fit has not seen:
0 is no better than everybody's mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import cross_val_predict

from copersona.export.run.run import Run
from copersona.export.run.situations import run_graph
from copersona.runtime.common.arrays import F32, F64
from copersona.runtime.common.errors import ExportError
from copersona.runtime.profile.style import STYLE_FEATURES, style_matrix

FOLDS = 5
STRENGTHS = np.logspace(-3, 4, 15)  # of the ridge, chosen within the training folds


def held_out_r2(inputs: F32, style: F32) -> F64:
    """R² of every feature, cross-validated. inputs (N, F), style (N, S) -> (S,)"""
    guesses = cross_val_predict(RidgeCV(STRENGTHS, alpha_per_target=True), inputs, style, cv=FOLDS)
    return np.asarray(r2_score(style, guesses, multioutput="raw_values"), np.float64)


def style_figures(run: Run, people: int | None = None) -> dict[str, Any]:
    """R² of each feature of the text after those seen, from facet vectors and from one's own texts.

    Raises:
        ExportError: too few people in the graph have a text after those seen.
    """
    pseudonyms = {pseudonym: person for person, pseudonym in run.pseudonyms.items()}
    with run_graph(run) as graph:
        names = [pseudonyms[name] for name in graph.pseudonyms]
        vectors = np.swapaxes(graph.peers, 0, 1).reshape(len(names), -1).astype(np.float32)
    rows = [i for i, name in enumerate(names) if run.splits[name].held_out][:people]
    if len(rows) < 2 * FOLDS:
        raise ExportError(f"{len(rows)} people have a text to guess at, {2 * FOLDS} are the least")
    style = style_matrix([run.histories[names[i]][run.splits[names[i]].seen].output for i in rows])
    own = np.stack(
        [style_matrix([item.output for item in run.training_histories[names[i]]]).mean(axis=0) for i in rows]
    )
    own = (own - own.mean(axis=0)) / np.maximum(own.std(axis=0), 1e-6)
    from_facets, from_texts = held_out_r2(vectors[rows], style), held_out_r2(own, style)
    features = {
        name: {"facet vectors": round(float(a), 3), "own texts": round(float(b), 3)}
        for name, a, b in zip(STYLE_FEATURES, from_facets, from_texts, strict=True)
    }
    return {"people": len(rows), "held-out R²": features}
