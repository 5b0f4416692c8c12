"""The user's own images: an ``.npz`` file or a folder of image files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from trainers.data import folder, npz
from trainers.data.layout import LAYOUT
from trainers.data.split import Images, SplitNumbers, describe, prepare_splits, split_in_three
from trainers.recipe import RecipeError


class OwnNumbers(SplitNumbers, Protocol):
    """The numbers that a recipe for images of any size needs."""

    @property
    def image_size(self) -> int:
        """Side length, in pixels, to which a folder's images are resized."""


def load(numbers: OwnNumbers, data: str | None, home: Path) -> Images:
    """Return the images of ``data``, which has no default; ``home`` is not used."""
    if not data:
        raise RecipeError(
            f"this recipe trains on your own images: got no --data. Give a folder with {LAYOUT}, "
            f"or an .npz file with {npz.FORM}."
        )
    return read(numbers, data, numbers.image_size)


def identify(home: Path) -> str:
    """Return ``absent``: there is no default data set."""
    return "absent"


def check(numbers: OwnNumbers, data: str) -> str:
    """Check a file or folder like :func:`load`, without decoding a folder's images; return what was found."""
    return check_given(numbers, data, numbers.image_size)


def read(numbers: SplitNumbers, data: str, size: int) -> Images:
    """Read a folder, resized to ``size`` pixels a side, or an ``.npz`` file, at its own size."""
    if os.path.isdir(data):
        return folder.load(numbers, data, size)
    return prepare_splits(split_in_three(*npz.read(data), numbers.split_seed, data), numbers)


def check_given(numbers: SplitNumbers, data: str, size: int) -> str:
    """Check a file or folder like :func:`read`, without keeping or decoding images; return what was found."""
    if os.path.isdir(data):
        return folder.check(numbers, data, size)
    return check_arrays(numbers, data)[0]


def check_arrays(numbers: SplitNumbers, file: str) -> tuple[str, int]:
    """Check an ``.npz`` file like :func:`check_given`; return what was found, and how many classes it has."""
    labels, shape = npz.read_labels(file)
    rows: Any = np.arange(len(labels))  # in place of pixels, so that the same code splits and caps both
    planned = prepare_splits(split_in_three(rows, labels, numbers.split_seed, file), numbers)
    return describe(planned, [], [f"an image is {' × '.join(map(str, shape))}"]), planned.classes
