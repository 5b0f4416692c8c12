"""Where a private Ray keeps its files: in a temporary folder whose path leaves room for the paths of Ray's sockets."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from search.vocabulary.errors import RayUnavailable

PREFIX = "seqnorm-ray-"  # of a folder that only this user can enter; Ray opens its own, in it, to everybody
INNER = "r"
SOCKET_BYTES = 107 if sys.platform == "linux" else 103  # of the path of a socket, at most
# What Ray appends to its folder. mkdtemp adds 8 characters to the prefix; process ids have up to 7 digits.
_LONGEST = f"/{PREFIX}12345678/{INNER}/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store"
_LISTENER = "/pymp-12345678/listener-12345678"  # what Python appends, for data loaders and the like
PARENT_BYTES = SOCKET_BYTES - len(_LONGEST)
SHORT_FOLDERS = ("/tmp", "/var/tmp")  # noqa: S108  # nosec B108  # mkdtemp makes a new folder, for this user alone


def parents() -> list[Path]:
    """Return the folders that a private Ray's folder may be in, best first.

    Raises:
        RayUnavailable: if there is no temporary folder to write to.
    """
    try:
        return [Path(folder) for folder in dict.fromkeys((tempfile.gettempdir(), *SHORT_FOLDERS))]
    except FileNotFoundError:
        raise RayUnavailable(
            "a private Ray must have a temporary folder: got none that can be written. "
            f"Set TMPDIR to a folder with a path of at most {PARENT_BYTES} bytes."
        ) from None


def find_parent() -> Path:
    """Return the folder to make a private Ray's folder in: the temporary folder, or another if its path is too long.

    Raises:
        RayUnavailable: if there is none.
    """
    for folder in parents():
        if len(os.fsencode(folder)) <= PARENT_BYTES and os.access(folder, os.W_OK | os.X_OK):
            return folder
    raise RayUnavailable(
        f"a private Ray must have a temporary folder with a path of at most {PARENT_BYTES} bytes, as paths of sockets "
        f"are short: got {tempfile.gettempdir()}, and none of {', '.join(SHORT_FOLDERS)} can be written. "
        "Set TMPDIR to such a folder."
    )


def variables() -> dict[str, str]:
    """Return another TMPDIR for trials, if theirs is too long even for the sockets of Python's multiprocessing.

    Raises:
        RayUnavailable: if there is none.
    """
    if len(os.fsencode(tempfile.gettempdir()) + _LISTENER.encode()) <= SOCKET_BYTES:
        return {}
    return {"TMPDIR": str(find_parent())}
