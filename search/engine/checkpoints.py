"""Where trials keep their checkpoints, and which of them stay."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from search.plan.selection import Point
from search.plan.stages import Replicate


class Checkpoints:
    """The checkpoints of a search: a folder for each replicate, the same for every attempt at it.

    On a cluster of several hosts the home folder must be one that all of them reach.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def folder_for(self, replicate: Replicate) -> Path:
        """Return where the attempts at a replicate keep theirs."""
        return self._folder / replicate.key

    def for_search(self, search_id: str) -> Checkpoints:
        """Return those of another search of the same home."""
        return Checkpoints(self._folder.parent.parent / search_id / self._folder.name)

    def link_from(self, replicate: Replicate, other: Checkpoints, original: Replicate) -> None:
        """Keep what another search kept of the same trial too: a link of it, which outlives the other's."""
        source, target = other.folder_for(original), self.folder_for(replicate)
        if source.is_dir() and not target.exists():
            shutil.copytree(source, target, copy_function=_link)

    def remove_unneeded(self, replicate: Replicate) -> None:
        """Remove what nobody needs once a replicate has ended: all but the measured ones, whose weights are kept."""
        if replicate.stage != "test":
            shutil.rmtree(self.folder_for(replicate), ignore_errors=True)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copy2(source, target)


def chosen_checkpoint(folder: Path, chosen: Point | None) -> Path | None:
    """Return the checkpoint of a finished trial of a search's chosen point; None if there is none on this machine.

    Args:
        folder: of the search.
        chosen: the point.
    """
    weights = (trial / "checkpoint.pt" for trial in chosen_folders(folder, chosen))
    return min((file for file in weights if file.is_file()), default=None)


def chosen_folders(folder: Path, chosen: Point | None) -> list[Path]:
    """Return where the measured trials of a search's chosen point keep their weights.

    Args:
        folder: of the search.
        chosen: the point.
    """
    if not chosen:
        return []
    return sorted((folder / "checkpoints").glob(f"test-{chosen.variant}-gm{chosen.gm}-gc{chosen.gc}-seed*"))
