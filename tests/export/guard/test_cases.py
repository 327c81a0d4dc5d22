"""Who is asked what: groups that never meet, personal questions that a person's own texts answer and others' do not."""

from __future__ import annotations

import numpy as np
import pytest

from copersona.export.guard.cases import Facts
from copersona.export.guard.judge import normal
from copersona.export.guard.people import GROUPS, HELD, PEOPLE, QUESTIONS, Person, group_of
from copersona.export.guard.personal import Personal
from copersona.export.guard.questions import Question
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.profile.segments import words_of

pytestmark = pytest.mark.export
THINGS = "capo tuner strings keyboard pedal drum strap cable violin trumpet flute harp".split()


def person(number: int) -> Person:
    """Someone who writes of one thing three times."""
    name, thing = f"p{number}", THINGS[number % len(THINGS)]
    texts = [f"This {thing} number {i} arrived on Monday and my {thing} sounds warmer than before" for i in range(3)]
    history = tuple(Interaction(name, text, time=i, item=thing, rating=5 - i) for i, text in enumerate(texts))
    return Person(name, history, None, group_of(name, PEOPLE))


WRITERS = [person(number) for number in range(36)]


def test_people_and_questions_of_the_groups_never_meet() -> None:
    questions = [Question(f"what is number {i}?", (str(i),)) for i in range(60)]
    facts = Facts(questions, lambda text: np.array([len(text), text.count("1"), 1], np.float32), 9)
    asked = {group: {c.question for p in WRITERS if p.group == group for c in facts.of(p)} for group in GROUPS}
    assert all(asked.values())
    assert sum(map(len, asked.values())) == len(set().union(*asked.values()))
    assert all(group_of(question, QUESTIONS) == group for group, row in asked.items() for question in row)


def test_groups_have_their_shares_and_stay() -> None:
    groups = [group_of(f"name {i}", QUESTIONS) for i in range(2000)]
    shares = [groups.count(group) / 2000 for group in GROUPS]
    assert np.allclose(shares, QUESTIONS, atol=0.03)
    assert groups == [group_of(f"name {i}", QUESTIONS) for i in range(2000)]


def test_what_a_personal_question_asks_stands_in_the_latest_texts_and_not_in_the_question() -> None:
    made = [(someone, case) for personal in [Personal(WRITERS)] for someone in WRITERS for case in personal.of(someone)]
    assert {case.form for _, case in made} == {"which", "how many", "next word"}
    for someone, case in made:
        held = {normal(word) for item in someone.history[-HELD:] for word in words_of(item.output)}
        assert case.person == someone.name
        assert case.group == someone.group
        if case.form == "how many":
            assert {int(case.answers[0])} <= {item.rating for item in someone.history[-HELD:]}
        else:
            assert held >= {normal(answer) for answer in case.answers}
            assert not held & {normal(other) for other in case.wrong}
        assert not case.right(case.question)


def test_personal_questions_are_the_same_each_time() -> None:
    assert Personal(WRITERS).of(WRITERS[0]) == Personal(WRITERS).of(WRITERS[0])
