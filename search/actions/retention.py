"""Finds files that are no longer needed: checkpoints and logs of searches that ended long ago."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from search.engine.checkpoints import chosen_folders
from search.settings import Settings
from search.store import queries
from search.store.database import Engine

DAY_SECONDS = 24 * 3600.0


@dataclass(frozen=True, kw_only=True)
class UnneededFiles:
    """Files of one search that can be deleted."""

    search_id: str
    why: str  #: they can be deleted
    paths: tuple[Path, ...]
    bytes: int  #: freed by deleting them

    def remove(self) -> None:
        """Remove the files; of a symbolic link, only the link.

        Raises:
            OSError: if a file cannot be removed; earlier ones are already removed.
        """
        for path in self.paths:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def find_unneeded_files(settings: Settings, engine: Engine, days: float, unknown: bool) -> Iterator[UnneededFiles]:
    """Find files to delete; the weights of a search's chosen point are kept.

    Each search is checked again just before it is yielded, because somebody may have restarted it. So remove its files
    before asking for the next.

    Args:
        settings: with the home folder.
        engine: of the database with the searches.
        days: since a search ended, at least.
        unknown: include folders of no search in this database. Another database may share the home folder.
    """
    root = settings.search_folder("")
    folders = {path.name: path for path in sorted(root.glob("*")) if path.is_dir() and not path.is_symlink()}
    with engine.connect() as connection:
        known = queries.find_known(connection, list(folders))
        candidates = queries.find_ended(connection, days * DAY_SECONDS, list(folders))
    for name, folder in folders.items():
        if name in candidates:
            with engine.connect() as connection:
                ended = queries.find_ended(connection, days * DAY_SECONDS, [name])
            if name in ended:
                kept = set(chosen_folders(folder, ended[name]))
                yield from _unneeded_files(name, f"ended {days:g} days ago or earlier", _paths_except(folder, kept))
        elif unknown and name not in known:
            yield from _unneeded_files(name, "unknown to this database", [folder])


def _paths_except(folder: Path, kept: set[Path]) -> list[Path]:
    """Return the paths of a folder without the kept ones; a subfolder without kept paths is one path."""
    found: list[Path] = []
    for path in sorted(folder.iterdir()):
        if path in kept:
            continue
        inside = any(path in each.parents for each in kept)
        found += _paths_except(path, kept) if inside else [path]
    return found


def _unneeded_files(search_id: str, why: str, paths: list[Path]) -> Iterator[UnneededFiles]:
    if paths:
        yield UnneededFiles(search_id=search_id, why=why, paths=tuple(paths), bytes=sum(map(_size, paths)))


def _size(path: Path) -> int:
    """Count the bytes that are freed; a hard-linked file, such as weights shared with a child, frees none."""
    files = [path] if path.is_symlink() or path.is_file() else [each for each in path.rglob("*") if not each.is_dir()]
    states = [file.lstat() for file in files]
    return sum(state.st_size for state in states if state.st_nlink == 1)
