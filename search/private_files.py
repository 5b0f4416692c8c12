"""Folders and files that other users of the host must not read: homes, databases, logs, checkpoints.

A group that may write was let in on purpose, and stays; by default it is not, and loses its other rights too.
"""

from __future__ import annotations

import logging
import os
import shlex
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from search.vocabulary.errors import StoreUnavailable

log = logging.getLogger(__name__)


def make_private_folder(folder: Path) -> None:
    """Create a folder, and missing ones above it, for this user alone. Existing ones stay as they are."""
    if not folder.parent.exists():
        make_private_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)


def make_private_file(file: Path) -> None:
    """Create an empty file for this user alone, or close an existing one to others."""
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    if file.is_file():
        close_to_others(file)


def close_to_others(path: Path) -> None:
    """Take the rights of others away, if this user owns the file or folder."""
    with suppress(OSError):  # e.g. it is gone, or on a file system without rights
        found = path.stat()
        closed = found.st_mode & ~_rights_to_take(found.st_mode)
        if closed != found.st_mode and found.st_uid == os.geteuid():
            path.chmod(stat.S_IMODE(closed))


def make_private_home(home: Path, *, chosen: bool) -> None:
    """Create a home folder and its folder of searches for this user alone.

    Args:
        home: the folder.
        chosen: whether a person named it: then it may hold more than ours, and if it exists already and others can
            read it, this is logged instead of changed.

    Raises:
        OSError: if it cannot be created.
    """
    make_private_folder(home / "searches")
    close_to_others(home / "searches")
    if not chosen:
        close_to_others(home)
    elif (rights := stat.S_IMODE(home.stat().st_mode)) & stat.S_IRWXO:
        log.warning(
            "the home folder should be closed to other users of this host: got %s with rights %o. "
            "Close it with: chmod o= %s",
            home,
            rights,
            shlex.quote(str(home)),
        )


def open_regular_file(path: Path) -> BinaryIO | None:
    """Open a regular file; return None for a missing file, a link or anything else."""
    try:
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    return None


def require_home(home: Path) -> None:
    """Check, without creating it, that a home folder can be written.

    Raises:
        StoreUnavailable: if it cannot.
    """
    found = next(folder for folder in (home, *home.parents) if os.path.lexists(folder))
    if not os.path.isdir(found) or not os.access(found, os.W_OK | os.X_OK):
        why = "cannot be written" if os.path.isdir(found) else "is not a folder"
        raise StoreUnavailable(
            f"the home folder must be writable: got {home}, where {found} {why}. "
            "Name another with --home DIR or SEQNORM_HOME."
        )


def create_privately() -> None:
    """Have this process and its children create files for this user alone from now on."""
    os.umask(_rights_to_take(0o777 & ~os.umask(0o077)))


def _rights_to_take(mode: int) -> int:
    return stat.S_IRWXO if mode & stat.S_IWGRP else stat.S_IRWXG | stat.S_IRWXO
