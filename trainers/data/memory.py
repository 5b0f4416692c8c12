"""A data set that fits on the device: held there as uint8, augmented as whole batches.

A small one that is not augmented is standardised once: with a small network that saves a twentieth of the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from trainers.augment.augmentation import Augmentation
from trainers.data.source import Batch
from trainers.data.split import Images, Pixels
from trainers.data.standard import Standard
from trainers.devices import Place

EVALUATED = 2**20  #: numbers of the inputs that are evaluated at once
STANDARDISED = 2**26  #: numbers of a split up to which it is held as inputs, 256 MB, where nothing is augmented


class InMemory:
    """Images on a device; see :class:`trainers.data.source.Source`.

    Args:
        images: three splits.
        batch: samples per step, over all devices.
        place: the device, and which share of a batch is its own.
        seed: of order and augmentation.
        augmentation: of the training split.
        standard: what inputs are standardised by; None for the training split's own.
        channels_last: whether inputs have their channels last in memory.
    """

    test_sets: tuple[str, ...] = ("test",)

    def __init__(
        self,
        images: Images,
        *,
        batch: int,
        place: Place,
        seed: int,
        augmentation: Augmentation | None = None,
        standard: Standard | None = None,
        channels_last: bool = False,
    ) -> None:
        self._pixels = on_device(images.train_x, place.device)
        self._labels = torch.tensor(images.train_y, device=place.device)
        self._images = images
        self._measured: dict[str, Batch] = {}  # on the device once they are asked for
        self.standard = standard or Standard.of(self._pixels)
        self._augmentation = augmentation
        if augmentation is None:
            self._pixels = self._once(self._pixels)
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self._place = place
        self._batch = batch
        self._order = torch.Generator().manual_seed(seed)
        self._chance = torch.Generator(place.device).manual_seed(seed)
        self.classes = images.classes
        self.shape = images.shape
        self.steps = len(self._labels) // batch

    def training(self, epoch: int) -> Iterator[Batch]:
        """Make a pass in random order; the draws are the same for any number of devices."""
        del epoch  # the generators go on from the epoch before
        rows = torch.randperm(len(self._labels), generator=self._order).to(self._place.device, non_blocking=True)
        share = self._batch // self._place.devices
        mine = slice(self._place.rank * share, (self._place.rank + 1) * share)
        for batch in rows[: self.steps * self._batch].split(self._batch):
            own = batch[mine]
            yield self._augmented(self._pixels[own]), self._labels[own]

    def _augmented(self, pixels: Tensor) -> Tensor:
        if self._augmentation is None:
            return self._inputs(pixels)
        place = self._place
        draws = self._augmentation.draw(self._batch, *self.shape[1:], self._chance).share(place.rank, place.devices)
        inputs = self._inputs(self._augmentation.on_pixels(pixels, draws))
        return self._augmentation.on_inputs(inputs, draws)

    def evaluation(self, split: str) -> Iterator[Batch]:
        """Go through ``validation`` or ``test`` in order."""
        x, y = self._split(split)
        at_once = max(64, EVALUATED // x[0].numel())
        for pixels, labels in zip(x.split(at_once), y.split(at_once), strict=True):
            yield self._inputs(pixels), labels

    def _split(self, name: str) -> Batch:
        if name not in self._measured:
            x, y = {
                "validation": (self._images.validation_x, self._images.validation_y),
                "test": (self._images.test_x, self._images.test_y),
            }[name]
            device = self._place.device
            self._measured[name] = self._once(on_device(x, device)), torch.tensor(y, device=device)
        return self._measured[name]

    def _once(self, pixels: Tensor) -> Tensor:
        return self.standard.apply(pixels) if pixels.numel() <= STANDARDISED else pixels

    def _inputs(self, pixels: Tensor) -> Tensor:
        inputs = pixels if pixels.is_floating_point() else self.standard.apply(pixels)
        return inputs.contiguous(memory_format=self._format)

    def samples(self, split: str) -> int:
        """Return the size of a split."""
        return len(self._split(split)[1])

    def state(self) -> dict[str, Any]:
        """Return the generators' states."""
        return {"order": self._order.get_state(), "chance": self._chance.get_state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a state."""
        self._order.set_state(state["order"])
        self._chance.set_state(state["chance"])


def on_device(pixels: Pixels, device: torch.device) -> Tensor:
    """Copy ``(N, H, W)`` or ``(N, H, W, C)`` to a device as ``(N, C, H, W)``."""
    images = torch.tensor(pixels)  # a copy: what is shared between processes is read-only
    images = images.unsqueeze(1) if images.dim() == 3 else images.permute(0, 3, 1, 2).contiguous()
    return images.to(device)
