"""The token that clients must show: 256 random bits in a file that only this user can read, kept for the next start."""

from __future__ import annotations

import os
import re
import secrets
import stat
from pathlib import Path

from copersona.runtime.common.errors import PersonError
from copersona.runtime.common.files import write_whole
from copersona.runtime.common.places import create_private, data_home

LEAST = 32  # characters of a token


def token_path() -> Path:
    """Where the token is kept by default."""
    return data_home() / "serve.token"


def read_token(path: Path, *, make: bool) -> str:
    """The token in a file; with `make`, one is made (folder 0700, file 0600) where the file is not there or empty.

    Raises:
        PersonError: no such file, one that others may read, or no token in it.
    """
    try:
        if make:
            create_private(path)
            if not path.stat().st_size:
                write_whole(path, [f"{secrets.token_urlsafe(32)}\n".encode()], 0o600)
        with path.open(encoding="utf-8") as file:
            status = os.fstat(file.fileno())
            text = file.read(4_096).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise PersonError(f"{path}: the token cannot be read ({error})") from None
    if hasattr(os, "geteuid") and stat.S_IMODE(status.st_mode) & 0o077:
        raise PersonError(f"{path}: others may read this token; close it by `chmod 600`, or better make a new one")
    if not re.fullmatch(rf"[!-~]{{{LEAST},1024}}", text):
        raise PersonError(f"{path}: expected a token of {LEAST} characters or more, without blanks, in one line")
    return text
