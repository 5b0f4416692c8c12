"""The folders of checkpoints, and which of them are kept."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from search.plan.selection import Point
from search.plan.stages import Replicate, name_folder


class Checkpoints:
    """The checkpoints of a search: one folder per replicate, shared by all attempts at it.

    On a cluster of several hosts, all hosts must share the home folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def folder_for(self, replicate: Replicate) -> Path:
        """Return the folder for the checkpoints of a replicate."""
        return self._folder / replicate.key

    def for_search(self, search_id: str) -> Checkpoints:
        """Return the checkpoints of another search in the same home folder."""
        return Checkpoints(self._folder.parent.parent / search_id / self._folder.name)

    def link_from(self, replicate: Replicate, other: Checkpoints, original: Replicate) -> None:
        """Hard-link the checkpoints of the same trial of another search; the links outlive the originals."""
        source, target = other.folder_for(original), self.folder_for(replicate)
        if source.is_dir() and not target.exists():
            shutil.copytree(source, target, copy_function=_link)

    def remove_unneeded(self, replicate: Replicate) -> None:
        """Remove the checkpoints of an ended replicate, unless it belongs to ``test``, whose weights are kept."""
        if replicate.stage != "test":
            shutil.rmtree(self.folder_for(replicate), ignore_errors=True)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target)


def chosen_checkpoint(folder: Path, chosen: Point | None) -> Path | None:
    """Return a checkpoint of a search's chosen point; None if there is none on this machine.

    Args:
        folder: of the search.
        chosen: the point.
    """
    weights = (trial / "checkpoint.pt" for trial in chosen_folders(folder, chosen))
    return min((file for file in weights if file.is_file()), default=None)


def chosen_folders(folder: Path, chosen: Point | None) -> list[Path]:
    """Return the checkpoint folders of the ``test`` trials of a search's chosen point.

    Args:
        folder: of the search.
        chosen: the point.
    """
    if not chosen:
        return []
    return sorted((folder / "checkpoints").glob(f"test-{name_folder(chosen)}-seed*"))
