"""Read logs and checkpoints. Paths are built from what the store holds, and symbolic links are not followed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

from search.actions.logs import read_log
from search.private_files import open_regular_file
from search.settings import Settings
from search.views import LogPart, TrialRow

TAIL_BYTES = 64 * 1024
CHUNK_BYTES = 2**20


def read_log_tail(settings: Settings, search_id: str, trial: TrialRow) -> LogPart:
    """Return the end of the log of a trial's point and seed."""
    file = open_regular_file(settings.trial_log(search_id, trial.key))
    size = 0
    if file is not None:
        with file:
            size = file.seek(0, os.SEEK_END)
    return read_log(settings, search_id, trial, max(0, size - TAIL_BYTES))


def read_chunks(file: BinaryIO) -> Iterator[bytes]:
    """Yield a file's content in chunks, then close it."""
    with file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def attachment_headers(name: str) -> dict[str, str]:
    """Return the headers that make a browser save a response and never show it as a page."""
    return {"Content-Disposition": f'attachment; filename="{name}"', "Content-Security-Policy": "sandbox"}
