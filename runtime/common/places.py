"""Where copersona keeps its files on this device, and how a private file comes to be.

COPERSONA_HOME overrides every place; otherwise the platform's own folders for data and for caches are used.
"""

from __future__ import annotations

import contextlib
import os
import stat
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
        OSError: the folder or the file cannot be made, others may write to the folder, or a link stands there.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_folder(path.parent)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    status = os.lstat(path)  # not opened: closing it would take away the locks that this process has on it
    if stat.S_ISLNK(status.st_mode):
        raise OSError("a link, expected the file itself; set COPERSONA_HOME to the folder that it leads to")
    if not stat.S_ISREG(status.st_mode):
        raise OSError("no regular file")
    if not os.access(path, os.R_OK | os.W_OK):
        raise OSError("this user may not read and write it")
    if status.st_mode & 0o077:
        with contextlib.suppress(OSError):  # a file system without modes
            path.chmod(0o600)


def _check_folder(folder: Path) -> None:
    """Nobody else may put files, or links to others' files, where ours are expected. Raises OSError."""
    status = os.stat(folder)
    if not hasattr(os, "geteuid"):
        return
    if status.st_mode & 0o022:
        mode = stat.S_IMODE(status.st_mode)
        raise OSError(f"others may write to its folder, mode {mode:04o}; close it by `chmod 700`, or use another")
    if os.geteuid() not in (0, status.st_uid) and status.st_uid != 0:
        raise OSError("its folder is another user's; use one of your own, COPERSONA_HOME says which")
