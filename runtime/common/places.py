"""Where copersona keeps its files on this device, and how a private file comes to be.

COPERSONA_HOME overrides every place; otherwise the platform's own folders for data and for caches are used.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def data_home() -> Path:
    """The folder of everything that must be kept."""
    if home := os.environ.get("COPERSONA_HOME"):
        return Path(home)
    import platformdirs

    return Path(platformdirs.user_data_dir("copersona", appauthor=False, roaming=False))


def cache_home() -> Path:
    """The folder of what can be computed again."""
    if home := os.environ.get("COPERSONA_HOME"):
        return Path(home)
    import platformdirs

    return Path(platformdirs.user_cache_dir("copersona", appauthor=False))


def create_private(path: Path) -> None:
    """Make sure that a file is there: folder 0700, file 0600; one that is there keeps its content, not its readers.

    Raises:
        OSError: the folder or the file cannot be made.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    if path.stat().st_mode & 0o077:
        with contextlib.suppress(OSError):  # a file system without modes
            path.chmod(0o600)
