"""Files that are shown or downloaded. Their names are made of what the store has, and a link in their place is not
followed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from search.plan.selection import Point
from search.plan.stages import Replicate
from search.settings import Settings
from search.views import TrialRow

TAIL_BYTES = 64 * 1024
CHUNK_BYTES = 2**20


def tail(settings: Settings, search_id: str, trial: TrialRow) -> str:
    """Return the end of the log of a trial's point and seed; nothing if it has printed nothing here."""
    replicate = Replicate(trial.stage, Point(trial.variant, trial.gm, trial.gc), trial.seed)
    file = opened(settings.trial_log(search_id, replicate.key))
    if file is None:
        return ""
    with file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL_BYTES))
        return file.read().decode(errors="replace")


def opened(path: Path) -> BinaryIO | None:
    """Open a regular file; None if there is none, or a link."""
    try:
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    return None


def chunks(file: BinaryIO) -> Iterator[bytes]:
    """Yield a file's content, and close it."""
    with file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def attachment(name: str) -> dict[str, str]:
    """Return the headers of a download, which no browser shows as a page."""
    return {"Content-Disposition": f'attachment; filename="{name}"', "Content-Security-Policy": "sandbox"}
