"""A turn of a kept conversation: what a request says of it, and its answer kept as it is told to the client.

Nothing is acknowledged that is not on the disk: the person's message and a place for the answer are committed before
the first byte goes to the client, the whole answer before the last. In between what was written is kept every second.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace
from typing import Any

from copersona.runtime.chat.ask import Message
from copersona.runtime.common.errors import CoPersonaError
from copersona.runtime.people.conversations import KeptConversations, State, Turn, turns
from copersona.runtime.serve.fault import Fault, fault_of
from copersona.runtime.serve.fields import Fields
from copersona.runtime.serve.job import Ended, Event, Text
from copersona.runtime.serve.line import Line

EVERY = 1.0  # seconds between two writes of what running answers are so far
NEW = "new"


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where a turn is kept: with whom, in which conversation (None: a new one), as the persona or as nobody, and in the
    place of which message and all behind it."""

    person: str
    conversation: str | None
    persona: bool
    instead: int | None

    def earlier(self, store: KeptConversations) -> list[Message]:
        """The turns before this one. Raises PersonError."""
        if self.conversation is None:
            return []
        kept = store.conversation(self.person, self.conversation)[1]
        return turns(one for one in kept if self.instead is None or one.number < self.instead)


def read_keeping(ours: Fields, person: str | None, messages: tuple[Message, ...]) -> Keeping | None:
    """What the object "copersona" of a chat says of a kept conversation, None where it names none. Raises Fault."""
    named, instead = ours.text("conversation", 64), ours.whole("from", 1)
    if named is None:
        if instead is not None:
            raise Fault(400, f"{ours.path('from')} needs a conversation", param=ours.path("from"))
        return None
    if person is None:
        what = "a conversation is kept with a person; name one by model, user or header"
        raise Fault(400, what, param=ours.path("conversation"), code="person_missing")
    if sum(message.role != "system" for message in messages) != 1:
        what = "of a kept conversation the earlier turns are here: send instructions and the new turn alone"
        raise Fault(400, what, param="messages", code="turns_are_kept")
    if named == NEW and instead is not None:
        raise Fault(400, f"{ours.path('from')}: a new conversation has no messages", param=ours.path("from"))
    return Keeping(person, None if named == NEW else named, ours.flag("persona") is not False, instead)


class Keeper:
    """Writes what running answers are so far: all of them at once, every second while there are some."""

    def __init__(self) -> None:
        self._told: dict[int, list[str]] = {}
        self._task: asyncio.Task[None] | None = None

    def told(self, store: KeptConversations, answer: int, parts: list[str]) -> None:
        """There is more of an answer; `parts` may grow until it is written."""
        self._told[answer] = parts
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write(store))

    async def _write(self, store: KeptConversations) -> None:
        while self._told:
            await asyncio.sleep(EVERY)
            texts = {answer: "".join(parts) for answer, parts in self._told.items()}
            self._told.clear()
            with contextlib.suppress(CoPersonaError):  # at the end it is written again, and then told
                await asyncio.to_thread(store.keep_so_far, texts)


class KeptLine(Line):
    """The line of an answer that is kept. `ours` gets the numbers that the client is told; `receipt` is whether it
    asked for the record, which is kept in any case; `begun` is what stood of an answer that is gone on with."""

    def __init__(
        self, store: KeptConversations, keeper: Keeper, keeping: Keeping, said: str, bundle: str, *,
        ours: dict[str, Any], receipt: bool, begun: str = "",
    ) -> None:  # fmt: skip
        super().__init__()
        self._store, self._keeper, self._keeping, self._said, self._bundle = store, keeper, keeping, said, bundle
        self._ours, self._receipt, self._parts = ours, receipt, [begun]
        self._beginning: asyncio.Task[Turn] | None = None
        self._ended = False

    async def next(self, seconds: float | None = None) -> Event | None:
        event = await super().next(seconds)
        try:
            return await self._kept(event)
        except CoPersonaError as error:
            return fault_of(error)

    async def end(self) -> None:
        """An answer that was not told to its end was stopped."""
        with contextlib.suppress(CoPersonaError):  # the next start sees it
            await self._end("stopped")

    async def _kept(self, event: Event | None) -> Event | None:
        """The event, once what it tells is kept. A refusal before anything was told leaves no trace."""
        if isinstance(event, Fault):
            await self._end("stopped")
            return event
        turn = await self._begin()
        if isinstance(event, Text):
            self._parts.append(event.text)
            self._keeper.told(self._store, turn.answer, self._parts)
        elif isinstance(event, Ended):
            await self._end("whole", None if event.receipt is None else event.receipt.to_json())
            return event if self._receipt else replace(event, receipt=None)
        return event

    async def _begin(self) -> Turn:
        """The turn, kept at the first call. A client that leaves meanwhile does not undo it."""
        if self._beginning is None:
            where = self._keeping
            self._beginning = asyncio.create_task(asyncio.to_thread(
                self._store.begin_turn, where.person, self._said, conversation=where.conversation,
                instead=where.instead, persona=where.persona, bundle=self._bundle,
            ))  # fmt: skip
        turn = await asyncio.shield(self._beginning)
        self._ours |= {"conversation": turn.conversation, "message": turn.said, "answer": turn.answer}
        return turn

    async def _end(self, state: State, receipt: str | None = None) -> None:
        if self._beginning is None or self._ended:
            return
        turn = await asyncio.shield(self._beginning)
        await asyncio.to_thread(self._store.end_turn, turn, "".join(self._parts), state, receipt)
        self._ended = True
