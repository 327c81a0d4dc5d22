"""A conversation, or a text that goes on, made ready for an engine that runs several at once.

What is typed into a conversation is a request: nothing of it is kept, and nobody's history grows by it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from copersona.runtime.chat.ask import Message
from copersona.runtime.common.errors import ModelRefused
from copersona.runtime.engine.engine import Wanted
from copersona.runtime.engine.sampling import Sampling
from copersona.runtime.people.known import Known
from copersona.runtime.prompt.conversation import Conversation, TooLong, conversation
from copersona.runtime.prompt.retrieval import matched
from copersona.runtime.prompt.settings import GuardMode, RecallMode
from copersona.runtime.session.guarding import guarded
from copersona.runtime.session.recall import recall
from copersona.runtime.session.receipt import Receipt, make_receipt
from copersona.runtime.session.session import Session

LEAST = 16  # tokens of an answer below which a prompt is too long, unless fewer are asked for
SHARE = 4  # the part of the context, one in so many, that earlier turns leave to the answer


@dataclass(frozen=True, slots=True)
class Turned:
    """A prompt that is ready: `positions` it takes, earlier turns `left_out`, and the record of what is made of it."""

    wanted: Wanted
    positions: int
    left_out: int
    receipt: Callable[[], Receipt]


def converse(
    session: Session,
    messages: Sequence[Message],
    known: Known | None,
    sampling: Sampling,
    grammar: str | None = None,
    begun: str = "",
    mode: RecallMode = "always",
    guard: GuardMode | None = None,
) -> Turned:
    """The prompt of a conversation with a person, or with nobody. `sampling.max_tokens` is cut to what has room;
    `begun` is how the answer begins, where it is to be gone on with, `mode` when the person is recalled, and `guard`
    another mode of the guard than the session's.

    Raises:
        TooLong: instructions and last turn leave no room for an answer.
        ValueError: the last turn is not a user's.
    """
    person, request = None if known is None else known.name, messages[-1].content
    earlier = next((one.content for one in messages[-2::-1] if one.role == "user"), "")
    known, why = recall(session, request, known, mode, earlier)
    told = _laid_out(session, messages, known, sampling, begun)
    positions = len(session.nobody if known is None else known.soft) + len(told.prompt.tokens)
    sampling = replace(sampling, max_tokens=min(sampling.max_tokens, session.engine.context - positions))
    wanted = session.wanted(told.prompt, known, sampling)._replace(grammar=grammar)
    plain = lambda: _laid_out(session, messages, None, sampling, begun).prompt
    wanted, verdict = guarded(session, guard, wanted, known, plain)
    receipt = lambda: make_receipt(session, request, told.prompt, known, sampling, person, why, verdict)
    return Turned(wanted, positions, told.left_out, receipt)


def _laid_out(
    session: Session, messages: Sequence[Message], known: Known | None, sampling: Sampling, begun: str
) -> Conversation:
    """The prompt within what the answer leaves of the context. Raises TooLong, ValueError."""
    layout, fixed = session.layout, session.prepared(known).fixed
    request = messages[-1].content
    found = () if known is None else matched(known.history, request, layout.settings, session.personas.vectors)
    room = session.engine.context - len(session.nobody if known is None else known.soft)
    answer = max(min(sampling.max_tokens, LEAST), min(sampling.max_tokens, session.engine.context // SHARE))
    try:
        return conversation(layout, fixed, messages, found, room - answer, begun)
    except TooLong:  # the answer may have less, before a request is refused
        return conversation(layout, fixed, messages, found, room - min(answer, LEAST), begun)


def go_on(session: Session, text: str, sampling: Sampling) -> tuple[Wanted, int]:
    """A text that the model goes on with as it stands: no turns, no persona, no soft prompt. Also its positions.

    Raises:
        ModelRefused: it is empty.
        TooLong: it leaves no room.
    """
    engine = session.engine
    tokens = [*engine.vocabulary.beginning, *engine.tokenize(text)]
    if not tokens:
        raise ModelRefused("the text is empty; there is nothing to go on with")
    least = min(sampling.max_tokens, LEAST)
    if len(tokens) > engine.context - least:
        raise TooLong(f"the text has {len(tokens):,} tokens, {engine.context - least:,} fit")
    sampling = replace(sampling, max_tokens=min(sampling.max_tokens, engine.context - len(tokens)))
    return Wanted(None, tokens, sampling), len(tokens)
