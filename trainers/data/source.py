"""What the training loop asks of a data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from torch import Tensor

from trainers.data.standard import Standard

Batch = tuple[Tensor, Tensor]  # inputs (M, C, H, W), standardised, and labels (M,), both on the device


class Source(Protocol):
    """Batches on a device, their order and augmentation following from a seed."""

    classes: int
    shape: tuple[int, int, int]  #: channels, height and width of an input
    standard: Standard
    steps: int  #: of an epoch; an incomplete last batch is dropped, as gm must divide it
    test_sets: tuple[str, ...]  #: one, or several that are averaged

    def training(self, epoch: int) -> Iterator[Batch]:
        """Make a pass in random order; of every batch this device's share. Epochs count from 1."""

    def evaluation(self, split: str) -> Iterator[Batch]:
        """Go through ``validation`` or a test set in order."""

    def samples(self, split: str) -> int:
        """Return the size of a split."""

    def state(self) -> dict[str, Any]:
        """Return what the following epochs depend on."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a state."""
