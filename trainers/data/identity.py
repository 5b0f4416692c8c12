"""The identity of a data set that a person named. Standard library only."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from trainers.data.listing import is_foreign


def identify(data: str) -> str:
    """Return a short hash of a file, or of the names and sizes in a folder, which may hold hundreds of gigabytes.

    What other programs leave in folders, such as ``.DS_Store``, does not count.
    """
    path = Path(data)
    if path.is_dir():
        files = sorted(file for file in _files(path) if file.is_file())
        listed = "\n".join(f"{file.relative_to(path)} {file.stat().st_size}" for file in files)
        return hashlib.sha256(listed.encode(errors="surrogateescape")).hexdigest()[:16]
    if not path.is_file():
        return "missing"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _files(path: Path) -> Iterator[Path]:
    """Yield the files of a folder; links are followed, each folder once."""
    visited: set[str] = set()
    for parent, folders, files in os.walk(path, followlinks=True):
        folders[:] = [name for name in folders if not is_foreign(name)]
        if (real := os.path.realpath(parent)) in visited:
            folders.clear()
            continue
        visited.add(real)
        yield from (Path(parent, name) for name in files if name[0] != ".")
