"""Read logs and checkpoints. Paths are built from what the store holds, and symbolic links are not followed."""

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


def read_log_tail(settings: Settings, search_id: str, trial: TrialRow) -> str:
    """Return the end of the log of a trial's point and seed; an empty text if this machine has none."""
    replicate = Replicate(trial.stage, Point(trial.variant, trial.gm, trial.gc), trial.seed)
    file = open_regular_file(settings.trial_log(search_id, replicate.key))
    if file is None:
        return ""
    with file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL_BYTES))
        return file.read().decode(errors="replace")


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


def read_chunks(file: BinaryIO) -> Iterator[bytes]:
    """Yield a file's content in chunks, then close it."""
    with file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def attachment_headers(name: str) -> dict[str, str]:
    """Return the headers that make a browser save a response and never show it as a page."""
    return {"Content-Disposition": f'attachment; filename="{name}"', "Content-Security-Policy": "sandbox"}
