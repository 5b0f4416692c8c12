"""Images of one's own: an ``.npz`` file or a folder of image files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from trainers.data import folder, npz
from trainers.data.split import Images, SplitNumbers, finished, split_in_three
from trainers.recipe import RecipeError


class OwnNumbers(SplitNumbers, Protocol):
    """The numbers of a recipe that takes images of any size."""

    @property
    def image_size(self) -> int:
        """Pixels of a side that a folder's images are brought to."""


def load(numbers: OwnNumbers, data: str | None, home: Path) -> Images:
    """Return the images of ``data``; there are none to fall back to, and ``home`` is not used."""
    if not data:
        raise RecipeError(
            f"this recipe trains on images of one's own: got no --data. Give a folder with {folder.LAYOUT}, "
            f"or an .npz file with {npz.FORM}."
        )
    return read(numbers, data, numbers.image_size)


def identify(home: Path) -> str:
    """Say that there is nothing without a choice."""
    return "absent"


def check(numbers: OwnNumbers, data: str) -> None:
    """Refuse a file or folder that :func:`load` would refuse, short of decoding a folder's images."""
    check_given(numbers, data, numbers.image_size)


def read(numbers: SplitNumbers, data: str, size: int) -> Images:
    """Read a folder, at ``size`` pixels a side, or an ``.npz`` file, at the size that it has."""
    if os.path.isdir(data):
        return folder.load(numbers, data, size)
    return finished(split_in_three(*npz.read(data), numbers.split_seed, data), numbers)


def check_given(numbers: SplitNumbers, data: str, size: int) -> None:
    """Refuse what :func:`read` would refuse, short of decoding a folder's images."""
    if os.path.isdir(data):
        folder.check(numbers, data, size)
    else:
        read(numbers, data, size)
