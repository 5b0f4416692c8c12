"""Folders that others remove once the process that made them has ended, however it ended.

The process holds a lock on a file in the folder, which the kernel releases. A pid would not do: containers that share
a temporary folder do not share their pids.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

LOCK_FILE = "lock"


class LockedFolder:
    """A new folder, locked until it is removed or the process ends."""

    def __init__(self, parent: Path, prefix: str) -> None:
        parent.mkdir(parents=True, exist_ok=True)
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
            self._lock = os.open(self.path / LOCK_FILE, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            with suppress(OSError):  # a file system without locks, where nobody removes it either
                fcntl.flock(self._lock, fcntl.LOCK_EX)
            if (self.path / LOCK_FILE).exists():
                return
            os.close(self._lock)  # somebody removed it before it was locked

    def remove(self) -> None:
        """Remove the folder and what is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def remove_unlocked(parent: Path, prefix: str) -> None:
    """Remove this user's folders of processes that have ended; one without a lock file is being made, or foreign."""
    for folder in parent.glob(f"{prefix}*"):
        try:
            found = folder.lstat()
            if found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode):  # laid out by another user
                continue
            lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # locked
            pass
        finally:
            os.close(lock)
