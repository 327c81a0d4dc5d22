"""Conversations that are kept with a person: what they asked and what was answered, until one of them is forgotten.

What is typed into a conversation is a request, never evidence: nothing here is read when a person is profiled, placed
or shown. A person reaches their own conversations alone; of another's it is not even said that there is one.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from copersona.runtime.chat.ask import Message
from copersona.runtime.common.composed import composed
from copersona.runtime.common.errors import UnknownConversation
from copersona.runtime.common.terminal import one_line
from copersona.runtime.people import conversation_tables as tables
from copersona.runtime.people.kept import KeptWithPeople
from copersona.runtime.people.receipts import since_forgotten
from copersona.runtime.people.revision_tables import FORGOT_AT

Role: TypeAlias = Literal["system", "user", "assistant"]
State: TypeAlias = Literal["whole", "stopped", "writing"]
"""A message is whole; its writing was stopped, by somebody or by a kill; or it is being written just now."""

LONGEST_TITLE = 80  # characters of one that is made of a message
AROUND = 60  # characters of a message that are shown before and behind what was found
NUMBERS = 2**62  # more than a message's or a revision's number ever is


@dataclass(frozen=True, slots=True)
class Conversation:
    """One row of a list: a conversation and how many messages it has. Times are seconds since 1970."""

    id: str
    person: str
    title: str
    created: float
    changed: float
    messages: int = 0


@dataclass(frozen=True, slots=True)
class KeptMessage:
    """One message. Of an answer: whether it was made as the `persona` or as nobody, by which bundle (its id), and the
    receipt as JSON. `number` names it within the store."""

    role: Role
    text: str
    time: float
    state: State = "whole"
    persona: bool = True
    bundle: str = ""
    receipt: str | None = None
    number: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """What the person said and the answer that is being written to it: their conversation and numbers."""

    conversation: str
    said: int
    answer: int


@dataclass(frozen=True, slots=True)
class Found:
    """A message that a search found, and the piece of its text around it."""

    conversation: str
    title: str
    number: int
    role: Role
    time: float
    piece: str


def turns(messages: Iterable[KeptMessage]) -> list[Message]:
    """The messages as a prompt takes them; an answer of which nothing was written is left out."""
    return [Message(one.role, one.text) for one in messages if one.text.strip() or one.role == "user"]


class KeptConversations(KeptWithPeople):
    """The part of the people store that holds conversations."""

    def conversations(self, person: str, *, before: str | None = None, limit: int | None = None) -> list[Conversation]:
        """A person's conversations, the one that was last changed first; or those that come after `before` (an id) in
        this order. Raises UnknownPerson, UnknownConversation."""
        name, most = self.find(person), -1 if limit is None else limit
        with self._reading():
            if before is None:
                rows = self._db.execute(tables.LATEST, (name, most))
            else:
                last = self._one(name, before)
                rows = self._db.execute(tables.BEFORE, (name, last.changed, last.id, most))
            return [Conversation(*row) for row in rows]

    def conversation(self, person: str, id_: str) -> tuple[Conversation, tuple[KeptMessage, ...]]:
        """One of a person's conversations and its messages. Raises UnknownPerson, UnknownConversation."""
        name = self.find(person)
        with self._reading():
            found = self._one(name, id_)
            rows = self._db.execute(tables.MESSAGES, (found.id,)).fetchall()
        return found, tuple(
            KeptMessage(role, text, at, state, bool(persona), bundle, receipt, number)
            for number, role, text, at, state, persona, bundle, receipt in rows
        )

    def search_conversations(
        self, person: str, words: str, *, before: int = NUMBERS, limit: int | None = None
    ) -> list[Found]:
        """Messages of a person's conversations that hold all these words, in any case, the latest first; or of those
        with a lower number than `before`. A conversation's title counts as part of its first message. Raises
        UnknownPerson.

        Every message is read: what a search index keeps of a text would have to be forgotten too.
        """
        name, wanted, found = self.find(person), _folded(words).split(), list[Found]()
        with self._reading():
            for id_, title, number, role, text, at, first in self._db.execute(tables.SEARCHED, (name, before)):
                if not wanted or len(found) == limit:
                    break
                folded = _folded(f"{title}\n{text}" if first else text)
                if all(word in folded for word in wanted):
                    found.append(Found(id_, title, number, role, at, _piece(text, wanted)))
        return found

    def begin_turn(
        self, person: str, said: str, *, conversation: str | None = None, instead: int | None = None,
        persona: bool = True, bundle: str = "",
    ) -> Turn:  # fmt: skip
        """Keep what the person said, in a new conversation or a named one, and a place for the answer: all or nothing.

        With `instead`, the message of that number and all behind it are removed first. Raises UnknownPerson,
        UnknownConversation.
        """
        name, now = self._name(person), time.time()
        with self._transaction():
            if not self._knows(name):
                raise self._unknown(name)
            if conversation is None:
                conversation = new_id()
                title = title_of(said)
                self._db.execute(tables.INSERT_CONVERSATION, (conversation, name, title, now, now))
            else:
                self._one(name, conversation)
            if instead is not None:
                self._db.execute(tables.CUT, (conversation, instead))
            said_at = self._insert(conversation, KeptMessage("user", said, now, persona=persona))
            answer = self._insert(conversation, KeptMessage("assistant", "", now, "writing", persona, bundle))
            self._db.execute(tables.CHANGED, (now, conversation))
        return Turn(conversation, said_at, answer)

    def keep_so_far(self, answers: Mapping[int, str]) -> None:
        """Keep what was written of answers until now, by their numbers; of one that is gone, nothing."""
        with self._transaction():
            self._db.executemany(tables.SO_FAR, [(_whole(text), number) for number, text in answers.items()])

    def end_turn(self, turn: Turn, text: str, state: State, receipt: str | None = None) -> None:
        """Keep an answer as it is in the end. Where it was removed meanwhile, nothing is kept; where something of the
        person was forgotten since it was begun, its receipt is kept without what it was made from."""
        with self._transaction():
            forgot = self._db.execute(FORGOT_AT, (turn.answer,)).fetchone()
            if receipt is not None and forgot is not None and forgot[0]:
                receipt = since_forgotten(receipt, forgot[0])
            self._db.execute(tables.END, (_whole(text), state, receipt, turn.answer))
            self._db.execute(tables.CHANGED, (time.time(), turn.conversation))

    def end_left_turns(self) -> None:
        """Have answers that a kill left as being written count as stopped; who is writing one still ends it."""
        with self._reading():
            if self._db.execute("SELECT 1 FROM messages WHERE state = 'writing' LIMIT 1").fetchone() is None:
                return
        with self._transaction():
            self._db.execute(tables.END_ALL)

    def rename_conversation(self, person: str, id_: str, title: str) -> Conversation:
        """Give a conversation another title. Raises UnknownPerson, UnknownConversation."""
        name = self.find(person)
        with self._transaction():
            found = self._one(name, id_)
            self._db.execute("UPDATE conversations SET title = ? WHERE id = ?", (title, id_))
        return replace(found, title=title)

    def import_conversations(
        self, person: str, found: Iterable[tuple[Conversation, Iterable[KeptMessage]]]
    ) -> tuple[int, int]:
        """Keep conversations of a person as they are, all or none; how many are new, and how many were there already
        and are left as they are. An id that another person has is replaced. Raises UnknownPerson, and what `found`
        raises."""
        name = self._name(person)
        with self._transaction():
            if not self._knows(name):
                raise self._unknown(name)
            return self._take_conversations(name, found)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _take_conversations(
        self, name: str, found: Iterable[tuple[Conversation, Iterable[KeptMessage]]]
    ) -> tuple[int, int]:
        new = known = 0
        for one, messages in found:
            owner = self._db.execute("SELECT person FROM conversations WHERE id = ?", (one.id,)).fetchone()
            if owner == (name,):
                known += 1
                continue
            id_, new = one.id if owner is None else new_id(), new + 1
            self._db.execute(tables.INSERT_CONVERSATION, (id_, name, one.title, one.created, one.changed))
            for message in messages:
                self._insert(id_, message)
        return new, known

    def _one(self, name: str, id_: str) -> Conversation:
        row = self._db.execute(tables.ONE, (name, id_)).fetchone()
        if row is None:
            raise UnknownConversation(f"no conversation {one_line(id_, 40)!r} of {name!r}")
        return Conversation(*row)

    def _remove_conversation(self, name: str, id_: str) -> None:
        self._db.execute("DELETE FROM conversations WHERE id = ?", (self._one(name, id_).id,))

    def _insert(self, conversation: str, one: KeptMessage) -> int:
        text = _whole(one.text)
        values = (conversation, one.role, text, one.time, one.state, one.persona, one.bundle, one.receipt)
        return int(self._db.execute(tables.INSERT_MESSAGE, values).lastrowid)


def new_id() -> str:
    """An id that nobody guesses: 32 hexadecimal digits."""
    return secrets.token_hex(16)


def title_of(said: str) -> str:
    """A title for a conversation that begins with this message."""
    return one_line(said, LONGEST_TITLE)


def _whole(text: str) -> str:
    """The text with signs in place of half characters, which no file can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _folded(text: str) -> str:
    return composed(text).casefold()


def _piece(text: str, words: Iterable[str]) -> str:
    """The text around the first of the words that stands in it, on one line."""
    matches = (re.search(re.escape(word), text, re.IGNORECASE) for word in words)
    at = min((match.start() for match in matches if match), default=0)
    start, end = max(at - AROUND, 0), at + AROUND
    return f"{'...' if start else ''}{' '.join(text[start:end].split())}{'...' if end < len(text) else ''}"
