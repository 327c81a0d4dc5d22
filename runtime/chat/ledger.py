"""Every call to a language model goes through a ledger: remembered, counted, bounded, and tried again.

What was answered once is never asked again: an answer that counts is kept, durably, before anyone uses it, under a hash
of everything that it depends on. So a step that was cut goes on from there, and a finished one calls nothing.
"""

from __future__ import annotations

import errno
import io
import json
import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from copersona.runtime.chat.ask import Ask, ChatModel, Reply
from copersona.runtime.common.errors import ModelBusy, ModelError

TRIES = 4  # calls for one ask while the model is busy
LONGEST_WAIT = 60.0  # seconds; a server that asks for more is not waited for
BYTES_PER_TOKEN = 4.0  # of English, roughly: for an estimate


class Replies(Protocol):
    """A memory of answers by key."""

    def get(self, key: str) -> Reply | None: ...

    def put(self, key: str, reply: Reply) -> None:
        """Keep an answer; when this returns, a kill does not lose it."""
        ...


class Memory:
    """Answers for as long as the process runs."""

    def __init__(self) -> None:
        self._by_key: dict[str, Reply] = {}

    def get(self, key: str) -> Reply | None:
        return self._by_key.get(key)

    def put(self, key: str, reply: Reply) -> None:
        self._by_key[key] = reply


class ReplyFile:
    """Answers as JSON lines in one file of the owner's; a last line that a kill cut is dropped.

    Raises:
        ModelError: a line that is none of ours, or a file that cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._open() as file:
                raw = path.read_bytes()
                whole = raw.rfind(b"\n") + 1
                file.truncate(whole)
        except OSError as error:
            raise ModelError(f"{path}: cannot be written ({error.strerror or error})") from None
        try:
            rows = (json.loads(line) for line in raw[:whole].splitlines())
            self._by_key = {key: Reply(*reply) for key, *reply in rows}
        except (ValueError, TypeError) as error:
            raise ModelError(f"{path}: not a file of answers ({error}); move it away") from None

    def get(self, key: str) -> Reply | None:
        return self._by_key.get(key)

    def put(self, key: str, reply: Reply) -> None:
        line = json.dumps([key, *reply]) + "\n"
        try:
            with self._lock, self._open() as file:
                if file.write(line.encode("ascii")) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
                self._by_key[key] = reply
        except OSError as error:
            raise ModelError(f"{self._path}: cannot be written ({error.strerror or error})") from None

    def _open(self) -> io.FileIO:
        return io.FileIO(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+")


@dataclass(frozen=True, slots=True)
class Prices:
    """What a million tokens cost, in whatever money the owner counts; 0 is not told."""

    prompt: float = 0.0
    completion: float = 0.0

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


@dataclass(slots=True)
class Usage:
    """What the ledger has seen: calls made (failed ones too), answers from memory, tokens as told by the model."""

    calls: int = 0
    remembered: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def since(self, before: Usage) -> dict[str, int]:
        """What was added since then, as figures."""
        return {name: value - getattr(before, name) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Estimate:
    """What some asks will take if each goes well the first time; completion tokens are the most there can be."""

    calls: int
    remembered: int
    prompt_tokens: int
    completion_tokens: int
    cost: float

    def line(self, what: str, model: str) -> str:
        """The estimate in words."""
        cost = f", at most {self.cost:.2f} at your prices" if self.cost else ""
        return (
            f"{what}: {self.calls:,} calls to {model} ({self.remembered:,} more are remembered), about "
            f"{self.prompt_tokens:,} tokens in and up to {self.completion_tokens:,} out{cost}; retries come on top"
        )


class Ledger:
    """A model with a memory. Safe to share between threads as far as the model is."""

    def __init__(
        self,
        model: ChatModel,
        replies: Replies,
        *,
        max_calls: int | None = None,
        prices: Prices | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._model, self._replies, self._max_calls = model, replies, max_calls
        self._prices, self._sleep = prices or Prices(), sleep
        self._lock = threading.Lock()
        self.usage = Usage()

    @property
    def name(self) -> str:
        return self._model.name

    def remembering(self, replies: Replies) -> Ledger:
        """The same model with another memory and its own count."""
        return Ledger(self._model, replies, max_calls=self._max_calls, prices=self._prices, sleep=self._sleep)

    def estimate(self, asks: Sequence[Ask], what: str) -> Estimate:
        """What these asks will take.

        Raises:
            ModelError: more calls than `max_calls` still allows; nothing has been called then.
        """
        new = [ask for ask in asks if self._replies.get(ask.key(self.name)) is None]
        sent = sum(len(message.content.encode()) for ask in new for message in ask.messages)
        tokens = math.ceil(sent / BYTES_PER_TOKEN), sum(ask.max_tokens for ask in new)
        if self._max_calls is not None and self.usage.calls + len(new) > self._max_calls:
            raise ModelError(
                f"{what} takes {len(new):,} calls, {self.usage.calls:,} are made, --max-calls allows "
                f"{self._max_calls:,}; nothing more was called"
            )
        return Estimate(len(new), len(asks) - len(new), *tokens, self._prices.of(*tokens))

    def complete(self, ask: Ask, counts: Callable[[str], bool] | None = None) -> Reply:
        """The answer, from memory or by as many calls as it takes, up to TRIES.

        `counts` says whether a text is an answer at all. What is none is given, but not remembered: a model that is
        mended is asked again.

        Raises:
            ModelError: as the model's `complete`; busy for too long, or no call is left.
        """
        key = ask.key(self.name)
        if (kept := self._replies.get(key)) is not None and (counts is None or counts(kept.text)):
            with self._lock:
                self.usage.remembered += 1
            return kept
        reply = self._call(ask)
        if counts is None or counts(reply.text):
            self._replies.put(key, reply)
        with self._lock:
            self.usage.prompt_tokens += reply.prompt_tokens
            self.usage.completion_tokens += reply.completion_tokens
        return reply

    def _call(self, ask: Ask) -> Reply:
        for tried in range(1, TRIES + 1):
            self._count()
            try:
                return self._model.complete(ask)
            except ModelBusy as error:
                wait = 2.0 ** (tried - 1) if error.after is None else error.after
                if tried == TRIES or wait > LONGEST_WAIT:
                    asked = f", which asks to wait {wait:.0f} s" if wait > LONGEST_WAIT else ""
                    raise ModelError(f"{error}{asked}; tried {tried} times, what was answered is kept") from None
            self._sleep(wait)
        raise AssertionError("unreachable")

    def _count(self) -> None:
        with self._lock:
            if self._max_calls is not None and self.usage.calls >= self._max_calls:
                raise ModelError(f"all {self._max_calls:,} calls of --max-calls are made; what was answered is kept")
            self.usage.calls += 1
