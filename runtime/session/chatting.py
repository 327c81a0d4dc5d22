"""One chat after the other with a session: turns in order, each answered behind those before, kept if that is wanted.

What is typed is a request, never evidence. A chat belongs to a person; of one with nobody nothing is kept.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import replace

from copersona.runtime.chat.ask import Message
from copersona.runtime.engine.sampling import Sampling
from copersona.runtime.people.conversations import Conversation, KeptMessage, State, new_id, title_of, turns
from copersona.runtime.people.known import Known
from copersona.runtime.people.store import PeopleStore
from copersona.runtime.session.conversing import Turned, converse
from copersona.runtime.session.session import Session

EVERY = 1.0  # seconds between two writes of an answer that is being made


class Chats:
    """The chats of one store with one session. `person` is whose they are, `persona` whether answers are made as them,
    `keeps` whether turns are kept; `left_out` earlier messages did not fit the last prompt. For one thread."""

    def __init__(
        self, session: Session, store: PeopleStore, sampling: Sampling, person: str | None = None, *, keep: bool = True
    ) -> None:
        self.session, self.store, self._sampling = session, store, sampling
        self.person, self.persona, self._keep = person, person is not None, keep
        self.conversation: str | None = None
        self.messages: list[KeptMessage] = []
        self.left_out = 0

    @property
    def keeps(self) -> bool:
        """Whether turns are kept."""
        return self._keep and self.person is not None

    def known(self) -> Known | None:
        """Who answers are made as. Raises PersonError."""
        if self.person is None or not self.persona:
            return None
        return self.session.person(self.store, self.person)

    def begin(self, person: str | None = None, *, keep: bool | None = None) -> None:
        """A new chat, of another person where one is named. Raises UnknownPerson."""
        if person is not None:
            self.person, self.persona = self.store.find(person), True
        self._keep = self._keep if keep is None else keep
        self.conversation, self.messages = None, []

    def open(self, id_: str) -> Conversation:
        """Go on with one that is kept. Raises UnknownPerson, UnknownConversation."""
        found, messages = self.store.conversation(self.person or "", id_)
        self.conversation, self.messages, self._keep = found.id, list(messages), True
        return found

    def keep(self) -> None:
        """Keep this chat, what was said in it until now too. Raises UnknownPerson."""
        self._keep = True
        if self.keeps and self.conversation is None and self.messages:
            one, messages = self.whole()
            self.store.import_conversations(one.person, [(one, messages)])
            self.conversation = one.id

    def whole(self) -> tuple[Conversation, tuple[KeptMessage, ...]]:
        """This chat as it is kept, or would be. Raises UnknownPerson, UnknownConversation."""
        if self.conversation is not None and self.person is not None:
            return self.store.conversation(self.person, self.conversation)
        times = [message.time for message in self.messages] or [time.time()]
        title = title_of(self.messages[0].text) if self.messages else ""
        one = Conversation(new_id(), self.person or "nobody", title, times[0], times[-1], len(self.messages))
        return one, tuple(self.messages)

    def answer(self, said: str) -> Generator[str, None, None]:
        """The answer to one more turn, in pieces. The turn is kept before the first one; closing this stops it.

        Raises:
            TooLong: the turn leaves no room for an answer; then it is no part of the chat.
            ModelError, PersonError: it cannot be made, or not be kept.
        """
        known, before = self.known(), turns(self.messages)
        turned = converse(self.session, [*before, Message("user", said)], known, self._sampling)
        self.left_out = turned.left_out
        bundle = self.session.manifest.bundle_id
        asked = KeptMessage("user", said, time.time(), persona=known is not None)
        if not self.keeps or self.person is None:
            made = KeptMessage("assistant", "", asked.time, "writing", asked.persona, bundle)
            yield from self._told(turned, asked, made)
            return
        turn = self.store.begin_turn(
            self.person, said, conversation=self.conversation, persona=asked.persona, bundle=bundle
        )
        self.conversation = turn.conversation
        made = KeptMessage("assistant", "", asked.time, "writing", asked.persona, bundle, number=turn.answer)
        try:
            yield from self._told(turned, replace(asked, number=turn.said), made)
        finally:
            last = self.messages[-1]
            self.store.end_turn(turn, last.text, last.state, last.receipt)

    def _told(self, turned: Turned, asked: KeptMessage, made: KeptMessage) -> Iterator[str]:
        """The pieces of an answer; in the end, it and what it answers are the last two messages."""
        wanted, parts, written = turned.wanted, list[str](), time.monotonic()
        pieces = self.session.engine.answer(wanted)
        state: State = "stopped"
        try:
            for piece in pieces:
                parts.append(piece.text)
                if made.number and time.monotonic() - written > EVERY:
                    self.store.keep_so_far({made.number: "".join(parts)})
                    written = time.monotonic()
                yield piece.text
            state = "whole"
        finally:
            receipt = replace(turned.receipt(), pieces=len(parts)).to_json()
            made = replace(made, text="".join(parts), state=state, receipt=receipt)
            self.messages += [asked, made]
