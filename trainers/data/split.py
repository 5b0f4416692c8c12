"""Labelled images in three splits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.recipe import RecipeError

Labels = NDArray[np.int64]
Pixels = NDArray[np.uint8]  # (N, H, W) or (N, H, W, C)


@dataclass(frozen=True, kw_only=True)
class Images:
    """Images and labels: train to learn from, validation to choose by, test to measure the chosen."""

    train_x: Pixels
    train_y: Labels
    validation_x: Pixels
    validation_y: Labels
    test_x: Pixels
    test_y: Labels
    classes: int
    source: str  #: where the images come from, for a person


def split_in_three(x: Pixels, y: Labels, seed: int, source: str, held_out: float = 0.14) -> Images:
    """Split into train, validation and test; the latter two hold the fraction ``held_out`` of every class each."""
    test, rest = stratified(y, held_out, seed)
    images = split_in_two(x[rest], y[rest], x[test], y[test], seed, source, held_out / (1 - held_out))
    return images


def split_in_two(
    x: Pixels, y: Labels, test_x: Pixels, test_y: Labels, seed: int, source: str, held_out: float
) -> Images:
    """Split into train and validation beside a test set that is given."""
    validation, train = stratified(y, held_out, seed + 1)
    return Images(
        train_x=x[train],
        train_y=y[train],
        validation_x=x[validation],
        validation_y=y[validation],
        test_x=test_x,
        test_y=test_y,
        classes=int(max(y.max(), test_y.max(initial=0))) + 1,
        source=source,
    )


def check_sizes(images: Images, batch: int) -> Images:
    """Return the images if they suffice for a step of training and for both measures.

    Raises:
        RecipeError: with the numbers in it.
    """
    if not len(images.validation_y) or not len(images.test_y):
        raise RecipeError(
            f"every split must hold an image: got {len(images.train_y)} for training, {len(images.validation_y)} for "
            f"validation, {len(images.test_y)} for test of {images.source}. Give more images of each class."
        )
    if len(images.train_y) < batch:
        raise RecipeError(
            f"the training split must fill a batch: got {len(images.train_y)} of {images.source} for batch={batch}. "
            "Give more images or a smaller batch (--set batch=…)."
        )
    return images


def stratified(y: NDArray[Any], fraction: float, seed: int) -> tuple[Labels, Labels]:
    """Draw ``fraction`` of every class, rounded; return the indices drawn and the others, each in order."""
    generator = np.random.default_rng(seed)
    drawn = np.zeros(len(y), dtype=bool)
    for label in np.unique(y):
        members = generator.permutation(np.flatnonzero(y == label))
        drawn[members[: round(fraction * len(members))]] = True
    return np.flatnonzero(drawn), np.flatnonzero(~drawn)
