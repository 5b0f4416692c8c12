"""A data set held on the device as uint8 and augmented in batches.

Without augmentation a small data set is standardised once, which saves a twentieth of the time with a small network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from trainers.augment.augmentation import Augmentation
from trainers.data.source import Batch
from trainers.data.split import Images, Pixels
from trainers.data.standardizer import Standardizer
from trainers.devices import TrainingProcess

EVALUATION_CHUNK = 2**20  #: input values per evaluation batch
MAX_STANDARDIZED = 2**26  #: largest split, in values (256 MB), that is standardised once


class InMemory:
    """Images on a device; see :class:`trainers.data.source.Source`.

    Args:
        images: three splits.
        batch: samples per step, over all devices.
        process: the device, and the rank that selects its share of a batch.
        seed: of order and augmentation.
        augmentation: of the training split, or None.
        standardizer: applied to all inputs; None fits one to the training split.
        channels_last: whether inputs have their channels last in memory.
    """

    test_sets: tuple[str, ...] = ("test",)

    def __init__(
        self,
        images: Images,
        *,
        batch: int,
        process: TrainingProcess,
        seed: int,
        augmentation: Augmentation | None = None,
        standardizer: Standardizer | None = None,
        channels_last: bool = False,
    ) -> None:
        self._pixels = to_device(images.train_x, process.device)
        self._labels = torch.tensor(images.train_y, device=process.device)
        self._images = images
        self._evaluation_splits: dict[str, Batch] = {}  # on the device after first use
        self.standardizer = standardizer or Standardizer.fit(self._pixels)
        self._augmentation = augmentation
        if augmentation is None:
            self._pixels = self._standardize_if_small(self._pixels)
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self._process = process
        self._batch = batch
        self._order = torch.Generator().manual_seed(seed)
        self._draws = torch.Generator(process.device).manual_seed(seed)
        self.classes = images.classes
        self.shape = images.shape
        self.steps = len(self._labels) // batch

    def training(self, epoch: int) -> Iterator[Batch]:
        """Yield one epoch in random order; random draws do not depend on the number of devices."""
        del epoch  # the generators continue from the previous epoch
        rows = torch.randperm(len(self._labels), generator=self._order).to(self._process.device, non_blocking=True)
        share = self._batch // self._process.devices
        own_slice = slice(self._process.rank * share, (self._process.rank + 1) * share)
        for batch in rows[: self.steps * self._batch].split(self._batch):
            own = batch[own_slice]
            yield self._augmented(self._pixels[own]), self._labels[own]

    def _augmented(self, pixels: Tensor) -> Tensor:
        if self._augmentation is None:
            return self._inputs(pixels)
        process = self._process
        draws = self._augmentation.draw(self._batch, *self.shape[1:], self._draws).share(process.rank, process.devices)
        inputs = self._inputs(self._augmentation.augment_pixels(pixels, draws))
        return self._augmentation.augment_inputs(inputs, draws)

    def evaluation(self, split: str) -> Iterator[Batch]:
        """Yield ``validation`` or ``test`` in order."""
        x, y = self._split(split)
        chunk = max(64, EVALUATION_CHUNK // x[0].numel())
        for pixels, labels in zip(x.split(chunk), y.split(chunk), strict=True):
            yield self._inputs(pixels), labels

    def _split(self, name: str) -> Batch:
        if name not in self._evaluation_splits:
            x, y = {
                "validation": (self._images.validation_x, self._images.validation_y),
                "test": (self._images.test_x, self._images.test_y),
            }[name]
            device = self._process.device
            self._evaluation_splits[name] = (
                self._standardize_if_small(to_device(x, device)),
                torch.tensor(y, device=device),
            )
        return self._evaluation_splits[name]

    def _standardize_if_small(self, pixels: Tensor) -> Tensor:
        return self.standardizer.apply(pixels) if pixels.numel() <= MAX_STANDARDIZED else pixels

    def _inputs(self, pixels: Tensor) -> Tensor:
        inputs = pixels if pixels.is_floating_point() else self.standardizer.apply(pixels)
        return inputs.contiguous(memory_format=self._format)

    def samples(self, split: str) -> int:
        """Return the number of samples in a split."""
        return len(self._split(split)[1])

    def state(self) -> dict[str, Any]:
        """Return the generators' states."""
        return {"order": self._order.get_state(), "chance": self._draws.get_state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a state."""
        self._order.set_state(state["order"])
        self._draws.set_state(state["chance"])


def to_device(pixels: Pixels, device: torch.device) -> Tensor:
    """Copy ``(N, H, W)`` or ``(N, H, W, C)`` to a device as ``(N, C, H, W)``."""
    images = torch.tensor(pixels)  # copies: arrays shared between processes are read-only
    images = images.unsqueeze(1) if images.dim() == 3 else images.permute(0, 3, 1, 2).contiguous()
    return images.to(device)
