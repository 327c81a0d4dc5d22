"""A language model behind an OpenAI-compatible address: one POST to `/chat/completions`, answered with JSON.

What is asked leaves this machine unless the address is on it. The key comes from an environment variable and stands
nowhere else; a server's words never enter our messages, for they may repeat the key or the prompt. Redirects are not
followed. `timeout` bounds the whole answer, however it comes. Tries once: `ledger.py` tries again.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from copersona.runtime.chat.ask import Ask, Reply
from copersona.runtime.chat.exchange import Answer, TooLong, Unanswered, post
from copersona.runtime.common.errors import ModelBusy, ModelError, ModelRefused, ModelSilent

MAX_REPLY = 4 * 1024 * 1024  # bytes of an answer
BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
FORMS = ("json_schema", "json_object", "none")  # of response_format, best first
SETTINGS = ("temperature", "seed", "max_tokens")  # that some models do not take
BOUNDS = frozenset({"maxLength", "minLength", "maxItems", "minItems"})  # strict servers refuse schemas that hold these

UNREADABLE = (ValueError, AttributeError, LookupError, TypeError, RecursionError)
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,40}")


class Endpoint:
    """The model of that name at an address such as http://127.0.0.1:8080/v1. Safe to share between threads.

    `timeout` is in seconds, for one ask from its first byte to the answer's last.

    Raises:
        ModelError: an address that is none or would not keep the key to itself, or the variable is not set.
    """

    def __init__(self, url: str, name: str, *, key_env: str | None = None, timeout: float = 600.0) -> None:
        self._url, self._name, self._timeout = _address(url, key_env), name, timeout
        self._host = urlsplit(url).hostname or ""
        self._key = None if key_env is None else _read_key(key_env)
        self._taken: tuple[int, frozenset[str]] = (0, frozenset())  # of FORMS, and settings left out
        self._proven = False
        self._proxy = _proxy(self._url, self._host)

    @property
    def name(self) -> str:
        return self._name

    def complete(self, ask: Ask) -> Reply:
        """Ask once. A server that takes no schema, or not one of the settings, is asked without it from then on."""
        form, dropped = self._taken
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                reply = _reply(self._post(self._body(ask, form, dropped), deadline), self._host)
            except _NotTaken as error:
                if self._proven:  # it took others: it is this ask that it does not take
                    raise ModelRefused(str(error)) from None
                if error.setting in SETTINGS and error.setting not in dropped:
                    dropped |= {error.setting}
                elif form + 1 < len(FORMS):
                    form += 1
                else:
                    raise ModelRefused(str(error)) from None
                continue
            self._taken, self._proven = (form, dropped), True
            return reply

    def _body(self, ask: Ask, form: int, dropped: frozenset[str]) -> bytes:
        body: dict[str, Any] = {
            "model": self._name,
            "messages": [message._asdict() for message in ask.messages],
            "temperature": ask.temperature,
            "seed": ask.seed,
            "max_tokens": ask.max_tokens,
        }
        body = {key: value for key, value in body.items() if key not in dropped}
        if "max_tokens" in dropped:
            body["max_completion_tokens"] = ask.max_tokens  # its name at newer servers
        if FORMS[form] == "json_schema":
            schema = {"name": "answer", "strict": True, "schema": _without_bounds(ask.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif FORMS[form] == "json_object":
            body["response_format"] = {"type": "json_object"}
        return json.dumps(body).encode("ascii")

    def _post(self, body: bytes, deadline: float) -> bytes:
        """The answer's bytes. Raises ModelError and its kinds, and _NotTaken for a 400."""
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "copersona"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        left = deadline - time.monotonic()
        try:
            answer = post(self._url, body, headers, seconds=left, most=MAX_REPLY, proxy=self._proxy)
        except TooLong:
            raise ModelRefused(f"{self._host}: an answer of more than {MAX_REPLY:,} bytes") from None
        except TimeoutError:
            raise ModelBusy(f"{self._host}: no answer within {self._timeout:g} s; is the server running?") from None
        except Unanswered as error:
            raise ModelBusy(f"{self._host}: {error}; is the server running?") from None
        if not answer.good:
            raise _fault(answer, self._host, self._key or "")
        return answer.body


class _NotTaken(Exception):
    """A 400 or 422: something of the request is not taken; `setting` where the server says which."""

    def __init__(self, message: str, setting: object) -> None:
        super().__init__(message)
        self.setting = setting


def _address(url: str, key_env: str | None) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # reading the port checks it
        (host or "").encode("idna")
    except ValueError:
        raise ModelError("the endpoint is no address; expected one such as http://127.0.0.1:8080/v1") from None
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise ModelError("the endpoint must be a plain http or https address, such as http://127.0.0.1:8080/v1")
    if parts.username or parts.password:
        raise ModelError("the endpoint holds a name or password; give a key by the name of an environment variable")
    if key_env is not None and parts.scheme == "http" and not _is_loopback(host):
        raise ModelError(f"{host}: a key is sent over https only, the endpoint says http")
    base = url.rstrip("/")
    return base if base.endswith("/chat/completions") else f"{base}/chat/completions"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _proxy(url: str, host: str) -> str | None:
    """The proxy that the environment names for this address; none for one on this machine."""
    parts = urlsplit(url)
    if _is_loopback(host) or proxy_bypass(parts.netloc):
        return None
    found = getproxies().get(parts.scheme)
    return found if found is None or "://" in found else f"http://{found}"


def _read_key(name: str) -> str:
    key = os.environ.get(name, "").strip()
    if not key:
        raise ModelError(f"the environment variable {name} is not set; put the endpoint's key there")
    if not re.fullmatch(r"[!-~]+", key):
        raise ModelError(f"the environment variable {name} holds characters that no key has")
    return key


def _without_bounds(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _without_bounds(value) for key, value in schema.items() if key not in BOUNDS}
    return [_without_bounds(value) for value in schema] if isinstance(schema, list) else schema


def _fault(answer: Answer, host: str, key: str) -> Exception:
    """What a status that is not 200 means. Of the server's words only a code is repeated, and never the key."""
    code: object = None
    setting: object = None
    with contextlib.suppress(*UNREADABLE):
        told = json.loads(answer.body)["error"]
        code, setting = told.get("code") or told.get("type"), told.get("param")
    shown = isinstance(code, str) and _CODE.fullmatch(code) and not (key and (key in code or code in key))
    message = f"{host}: answers {answer.status}" + (f" ({code})" if shown else "")
    if answer.status in (400, 422):
        return _NotTaken(f"{message}; the request is not taken", setting)
    if answer.status == 413:
        return ModelRefused(f"{message}; the request is too long for it")
    if answer.status in BUSY:
        return ModelBusy(message, _retry_after(answer.headers.get("retry-after")))
    if 300 <= answer.status < 400:
        return ModelError(f"{message}, a redirect, which is not followed; give the address that you mean")
    advice = {401: "check the key", 403: "check the key", 404: "check the address and the model's name"}
    return ModelError(f"{message}; {advice.get(answer.status, 'see what the server says')}")


def _retry_after(value: str | None) -> float | None:
    """Seconds that a header asks to wait."""
    if value is None:
        return None
    try:
        if value.strip().isdigit():
            return float(value)
        return max((parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return None


def _reply(raw: bytes, host: str) -> Reply:
    try:
        body = json.loads(raw)
        choice = body["choices"][0]
        message, usage = choice["message"], body.get("usage") or {}
        text = _text(message.get("content"))
        counts = [usage.get(key) for key in ("prompt_tokens", "completion_tokens")]
    except UNREADABLE:
        raise ModelRefused(f"{host}: {_what_else(raw)}") from None
    if not text.strip():
        raise ModelSilent(f"{host}: {_why_silent(message, choice.get('finish_reason'))}")
    used = [count if isinstance(count, int) and count >= 0 else 0 for count in counts]
    return Reply(text, *used)


def _text(content: Any) -> str:
    """The text of a message, also where it comes in parts."""
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text")
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def _what_else(raw: bytes) -> str:
    """What an answer is that is no chat completion."""
    start = raw[:200].lstrip().lower()
    if start.startswith(b"<"):
        return "the answer is a web page, no chat completion; is the address that of an API? It often ends in /v1"
    if start.startswith((b"data:", b"event:", b":")):
        return "the answer is a stream of events, no chat completion; have the server send it whole"
    return "the answer is no chat completion; is the address that of an API?"


def _why_silent(message: Mapping[str, Any], reason: object) -> str:
    """Why a completion holds no text, as far as its fields tell."""
    if message.get("refusal"):
        return "the model refuses to answer"
    if reason == "content_filter":
        return "the answer was held back by a filter of the server's"
    if message.get("tool_calls") or message.get("function_call"):
        return "the answer is a call of a tool, no text; none was offered, switch tools off at the server"
    if any(message.get(key) for key in ("reasoning_content", "reasoning", "thinking")):
        return "the answer is reasoning without a text; have the server allow more tokens or less reasoning"
    return "the answer is empty" + (": its tokens ran out" if reason == "length" else "")
