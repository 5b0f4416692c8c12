"""Labelled images in three splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trainers.data.listing import first_few
from trainers.recipe import RecipeError

MAX_BYTES = 8 * 10**9  # largest data set in memory, in bytes
Labels = NDArray[np.int64]
Pixels = NDArray[np.uint8]  # (N, H, W) or (N, H, W, C)


class SplitNumbers(Protocol):
    """The numbers of a recipe that this module uses."""

    @property
    def batch(self) -> int:
        """Samples per step, over all devices."""

    @property
    def split_seed(self) -> int:
        """Seed of the split and of the subset."""

    @property
    def subset(self) -> int:
        """Largest number of images of each split; 0 for all."""


@dataclass(frozen=True, kw_only=True)
class Images:
    """Images and labels of the training, validation (selection) and test (final measurement) splits."""

    train_x: Pixels
    train_y: Labels
    validation_x: Pixels
    validation_y: Labels
    test_x: Pixels
    test_y: Labels
    classes: int
    source: str  #: where the images come from, for messages

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        height, width, *channels = self.train_x.shape[1:]
        return (channels[0] if channels else 1, height, width)


def split_in_three(x: Pixels, y: Labels, seed: int, source: str, held_out: float = 0.14) -> Images:
    """Split into train, validation and test; validation and test each hold ``held_out`` of every class."""
    test, rest = stratified_sample(y, held_out, seed)
    images = split_in_two(x[rest], y[rest], x[test], y[test], seed, source, held_out / (1 - held_out))
    return images


def split_in_two(
    x: Pixels, y: Labels, test_x: Pixels, test_y: Labels, seed: int, source: str, held_out: float
) -> Images:
    """Split into train and validation; the test set is given."""
    validation, train = stratified_sample(y, held_out, seed + 1)
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
    """Return the images if every split has some and the training split fills a batch.

    Raises:
        RecipeError: naming the numbers.
    """
    if not len(images.validation_y) or not len(images.test_y):
        raise RecipeError(
            f"every split must hold an image: got {len(images.train_y)} for training, {len(images.validation_y)} for "
            f"validation, {len(images.test_y)} for test of {images.source}. Give more images of each class."
        )
    check_batch(len(images.train_y), images.source, batch)
    return images


def check_batch(samples: int, source: str, batch: int) -> None:
    """Check that the training split fills a batch."""
    if samples < batch:
        raise RecipeError(
            f"the training split must fill a batch: got {samples} of {source} for batch={batch}. "
            "Give more images or a smaller batch (--set batch=…)."
        )


def prepare_splits(images: Images, numbers: SplitNumbers) -> Images:
    """Cap and check the splits; the last step of loading any data set into memory.

    Raises:
        RecipeError: if too few images are left.
    """
    return check_sizes(cap_splits(images, numbers.subset, numbers.split_seed), numbers.batch)


def describe(images: Images, names: Sequence[str], notes: Sequence[str]) -> str:
    """Return a sentence about a data set for people: how many images of what, and what they should know.

    Args:
        images: in splits.
        names: of the classes; empty if they have none.
        notes: further clauses; empty ones are dropped.
    """
    counts = [len(y) for y in (images.train_y, images.validation_y, images.test_y)]
    named = f" ({first_few(names)})" if names else ""
    clauses = [
        f"{sum(counts)} images of {images.classes} classes{named}: {counts[0]} for training, {counts[1]} for "
        f"validation, {counts[2]} for test"
    ]
    for split, y in (("training", images.train_y), ("validation", images.validation_y), ("test", images.test_y)):
        present = set(np.unique(y).tolist())
        if absent := [str(names[k] if names else k) for k in range(images.classes) if k not in present]:
            clauses.append(f"no {split} image of {first_few(absent)}")
    return "; ".join([*clauses, *filter(None, notes)]) + "."


def cap_splits(images: Images, subset: int, seed: int) -> Images:
    """Cap every split to ``subset`` images, each class in proportion; 0 keeps all. ``classes`` is unchanged."""
    train, validation, test = (
        subset_rows(labels, subset, seed) for labels in (images.train_y, images.validation_y, images.test_y)
    )
    return replace(
        images,
        train_x=images.train_x[train],
        train_y=images.train_y[train],
        validation_x=images.validation_x[validation],
        validation_y=images.validation_y[validation],
        test_x=images.test_x[test],
        test_y=images.test_y[test],
    )


def subset_rows(y: Labels, subset: int, seed: int) -> Labels | slice:
    """Return ``subset`` rows of ``y`` in order, or a slice of all if there are no more or ``subset`` is 0.

    Every class keeps its share by largest remainder, and at least one row if ``subset`` allows it.
    """
    if not 0 < subset < len(y):
        return slice(None)  # indexing with a slice makes a view; a copy would double the memory
    labels, counts = np.unique(y, return_counts=True)
    shares, remainders = np.divmod(subset * counts, len(y))
    shares[np.argsort(-remainders, kind="stable")[: subset - shares.sum()]] += 1
    while subset >= len(labels) and not shares.all():
        shares[shares.argmax()] -= 1
        shares[shares.argmin()] += 1
    generator = np.random.default_rng(seed)
    kept = [
        generator.permutation(np.flatnonzero(y == label))[:share] for label, share in zip(labels, shares, strict=True)
    ]
    return np.sort(np.concatenate(kept))


def stratified_sample(y: NDArray[Any], fraction: float, seed: int) -> tuple[Labels, Labels]:
    """Draw ``fraction`` of every class, rounded; return the sorted indices drawn and the others."""
    generator = np.random.default_rng(seed)
    drawn = np.zeros(len(y), dtype=bool)
    for label in np.unique(y):
        members = generator.permutation(np.flatnonzero(y == label))
        drawn[members[: round(fraction * len(members))]] = True
    return np.flatnonzero(drawn), np.flatnonzero(~drawn)
