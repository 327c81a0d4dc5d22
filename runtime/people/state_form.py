"""How a state of a prompt stands in its file: as it is with a hash of all its bytes, or sealed as its store is.

A sealed one is encrypted and proved by AES-256-GCM, under a key that is derived from the store's. Its file and its
folder are named by that key too: who has the disk cannot ask whether someone of a name is here.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Protocol

from copersona.runtime.people.sealed import Key

if TYPE_CHECKING:
    from copersona.runtime.engine.llama_context import State

MAGIC = b"CoPpKV1\n"
SEALED_MAGIC = b"CoPpKS1\n"
NONCE, TAG = 12, 16  # bytes
MOST = (1 << 31) - 1  # bytes of a file; the cipher takes no more at once


class StateForm(Protocol):
    """The names and the bytes of states. `extra` is how many bytes a file has beside the state."""

    extra: int

    def folder(self, person: str) -> str:
        """32 hexadecimal digits."""
        ...

    def file(self, key: str) -> str:
        """64 hexadecimal digits."""
        ...

    def write(self, key: str, state: State) -> list[bytes | memoryview]:
        """The bytes of a file."""
        ...

    def read(self, key: str, raw: State) -> State | None:
        """Inverse of `write`; None where these are not the bytes that were written under this key."""
        ...


class PlainForm:
    """Beside a plain store: magic, hash of the key, sha256 of both and of the state."""

    extra = len(MAGIC) + 64

    def folder(self, person: str) -> str:
        return hashlib.sha256(person.encode("utf-8")).hexdigest()[:32]

    def file(self, key: str) -> str:
        return key

    def write(self, key: str, state: State) -> list[bytes | memoryview]:
        return [_head(key, state), state.data]

    def read(self, key: str, raw: State) -> State | None:
        state = raw[self.extra :]
        return state if raw[: self.extra].tobytes() == _head(key, state) else None


class SealedForm:
    """Beside a sealed store: magic, nonce, the encrypted state, its tag."""

    extra = len(SEALED_MAGIC) + NONCE + TAG

    def __init__(self, key: Key) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._cipher = AESGCM(key.derived("copersona: states of prompts"))
        self._names = key.derived("copersona: names of states of prompts")

    def folder(self, person: str) -> str:
        return self._name("person", person)[:32]

    def file(self, key: str) -> str:
        return self._name("state", key)

    def write(self, key: str, state: State) -> list[bytes | memoryview]:
        nonce = secrets.token_bytes(NONCE)
        return [SEALED_MAGIC, nonce, self._cipher.encrypt(nonce, state.data, key.encode("ascii"))]

    def read(self, key: str, raw: State) -> State | None:
        import numpy as np
        from cryptography.exceptions import InvalidTag

        head = len(SEALED_MAGIC)
        if raw[:head].tobytes() != SEALED_MAGIC:
            return None
        state = np.empty(len(raw) - self.extra, np.uint8)
        nonce, sealed = raw[head : head + NONCE].tobytes(), raw[head + NONCE :]
        try:
            self._cipher.decrypt_into(nonce, sealed.data, key.encode("ascii"), state.data)
        except InvalidTag:
            return None
        return state

    def _name(self, kind: str, name: str) -> str:
        return hmac.digest(self._names, f"{kind}:{name}".encode(), "sha256").hex()


def state_form(key: Key | None) -> StateForm:
    """The form of the states beside a store with this key."""
    return PlainForm() if key is None else SealedForm(key)


def _head(key: str, state: State) -> bytes:
    named = hashlib.sha256(key.encode("ascii")).digest()
    digest = hashlib.sha256(named)
    digest.update(state.data)
    return MAGIC + named + digest.digest()
