"""Keys that signed bundles were first seen with, by the names that these go by: one small file of this user's."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from copersona.runtime.common.errors import BundleError
from copersona.runtime.common.files import write_whole
from copersona.runtime.common.places import create_private, data_home
from copersona.runtime.common.strict_json import strict_json

MAX_FILE = 4 << 20  # bytes
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/@-]{0,99}")
NAMES = "1 to 100 letters, digits and . _ / @ -, a letter or digit first"
KEY = re.compile(r"RW[A-Za-z0-9+/]{54}")
DAY = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True, slots=True)
class Pin:
    """A bundle's name, the public key that signs it, and the day on which that was first seen."""

    name: str
    key: str
    since: str


@dataclass(frozen=True, slots=True)
class Publishers:
    """All pins of this user, in `publishers.json`."""

    path: Path
    pins: tuple[Pin, ...] = ()

    @classmethod
    def read(cls) -> Publishers:
        """Raises BundleError where the file is there and cannot be read: no key is forgotten in silence."""
        path = data_home() / "publishers.json"
        try:
            with open(path, "rb") as file:
                raw = file.read(MAX_FILE + 1)
            return cls(path, tuple(map(_pin, strict_json(raw.decode("utf-8"))["pins"])))
        except FileNotFoundError:
            return cls(path)
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            raise BundleError(
                f"{path}: the keys of signed bundles cannot be read; mend it, or remove it to begin anew"
            ) from None

    def pin(self, name: str) -> Pin | None:
        """What is kept under the name, in whatever case it is written."""
        return next((pin for pin in self.pins if pin.name.lower() == name.lower()), None)

    def keep(self, name: str, key: str) -> str | None:
        """Keep this key for the name, in place of another one; returns the day, None where nothing can be kept."""
        pin = Pin(name, key, datetime.now(UTC).date().isoformat())
        others = [one for one in self.pins if one.name.lower() != name.lower()]
        body = {"pins": [asdict(one) for one in sorted([*others, pin], key=lambda one: one.name)]}
        with contextlib.suppress(OSError):
            create_private(self.path)
            write_whole(self.path, [json.dumps(body, indent=1).encode("utf-8"), b"\n"], 0o600)
            return pin.since
        return None


def _pin(row: Mapping[str, Any]) -> Pin:
    """Raises KeyError, TypeError or ValueError."""
    pin = Pin(row["name"], row["key"], row["since"])
    if not (NAME.fullmatch(pin.name) and KEY.fullmatch(pin.key) and DAY.fullmatch(pin.since)):
        raise ValueError("no pin")
    return pin
