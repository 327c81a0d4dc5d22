"""The near-twin brake and the least support on an opened bundle: what receipts say, and what is no longer said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from copersona.runtime.engine.sampling import Sampling
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.session.receipt import Receipt
from copersona.runtime.session.session import Session, open_bundle

TEXTS = (
    "I love these strings! They are bright, and they last. Thank you so much!",
    "Nice pick! I would buy it again, it fits my hand. Thank you!",
    "It hums. The amplifier is 20 W, 4 kg... returned.",
)
HISTORY = tuple(Interaction("ana", text, time=float(n)) for n, text in enumerate(TEXTS))


def opened(bundle: Path, **context: Any) -> Session:
    return open_bundle(bundle, threads=1, context=context, trusted=True)


def receipt(session: Session) -> Receipt:
    answer = session.answer("Write a review.", session.know(HISTORY), Sampling(max_tokens=2))
    return answer.finish().receipt


def test_a_receipt_says_how_far_the_neighbours_are_believed(random_bundle: Path) -> None:
    with opened(random_bundle) as session:
        off = receipt(session)
    with opened(random_bundle, brake=8.0) as session:
        on, known = receipt(session), session.know(HISTORY)
        assert known.persona.inputs is not None
        whole = session.graph.inputs(known.persona.vectors, known.persona.labels, known.persona.placement.shared)
    assert {facet.believed for facet in off.facets} == {1.0}
    assert all(0 < facet.believed < 1 for facet in on.facets)
    assert on.context["brake"] == 8.0
    share = np.array([facet.believed for facet in on.facets])
    np.testing.assert_allclose(known.persona.inputs.neighbors, whole.neighbors * share[:, None], atol=1e-4)


def test_what_is_not_sure_enough_is_not_said_and_named_in_the_receipt(random_bundle: Path) -> None:
    with opened(random_bundle) as session:
        known, before = session.know(HISTORY), receipt(session)
        said = [facet.summary for facet in known.persona.facets]
        prompt = session.engine.detokenize(session.prompt("", known).tokens)
        assert said[0] in prompt
        least = max(facet.support for facet in known.persona.facets) + 1e-6
    with opened(random_bundle, confidence=min(least, 1.0)) as session:
        known, after = session.know(HISTORY), receipt(session)
        prompt = session.engine.detokenize(session.prompt("", known).tokens)
        assert not any(summary in prompt for summary in said)
        assert np.array_equal(known.soft, session.nobody)
        assert after.too_little == session.schema.names
    assert set(before.too_little) < set(after.too_little)
