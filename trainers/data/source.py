"""The interface between the training loop and a data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from torch import Tensor

from trainers.data.standardizer import Standardizer

Batch = tuple[Tensor, Tensor]  # inputs (M, C, H, W), standardised, and labels (M,), both on the device


class Source(Protocol):
    """Batches on a device; order and augmentation are determined by a seed."""

    classes: int
    shape: tuple[int, int, int]  #: channels, height and width of an input
    standardizer: Standardizer
    steps: int  #: per epoch; an incomplete last batch is dropped, because gm must divide it
    test_sets: tuple[str, ...]  #: one test set, or several whose accuracies are averaged

    def training(self, epoch: int) -> Iterator[Batch]:
        """Yield this device's share of every batch of an epoch, in random order. Epochs count from 1."""

    def evaluation(self, split: str) -> Iterator[Batch]:
        """Yield ``validation`` or a test set in order."""

    def samples(self, split: str) -> int:
        """Return the number of samples in a split."""

    def state(self) -> dict[str, Any]:
        """Return the state that later epochs depend on, for a checkpoint."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a state."""
