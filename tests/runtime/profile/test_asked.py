"""What someone typed to an assistant is weak evidence at most."""

from __future__ import annotations

import numpy as np

from copersona.runtime.common.arrays import F32
from copersona.runtime.history.interactions import ASKED, Interaction
from copersona.runtime.profile.asked import evidence, with_asked
from copersona.runtime.profile.facets import Facet, FacetSchema, Feature, Reliability
from copersona.runtime.profile.profiler import profile_history

SCHEMA = FacetSchema(
    facets=(Facet("Length", "How much.", "ordinal", ("short", "long"), "", ("log_words",), (1.0,), (0.0,)),),
    features=(Feature("log_words", "words", 3.0, 0.5, 0.3),),
    feature_weight=0.5,
)
TEXT = "Tell me how the strings of an old guitar are changed and what I need for it, please, in a few words. "


def encode(text: str) -> F32:
    return np.ones(8, dtype=np.float32) / np.float32(np.sqrt(8))


def test_however_much_was_asked_it_is_weak_and_says_nothing_else() -> None:
    nothing = profile_history([], SCHEMA, encode)
    found = with_asked(nothing, [TEXT] * 50, SCHEMA)
    assert profile_history([TEXT] * 50, SCHEMA, encode).facets[0].reliability == Reliability.STRONG  # as own prose
    assert found.facets[0].reliability == Reliability.WEAK
    assert found.facets[0].quotes == ()
    assert np.array_equal(found.vectors, nothing.vectors)


def test_what_own_texts_support_is_left_as_it_is() -> None:
    own = profile_history([TEXT] * 50, SCHEMA, encode)
    assert with_asked(own, ["!"] * 3, SCHEMA) == own


def test_it_is_told_by_its_input() -> None:
    history = (Interaction("ana", "Mine.", "Write a note."), Interaction("ana", "What is it?", ASKED))
    assert evidence(history) == (["Mine."], ["What is it?"])
