"""Batches from image files, decoded and augmented by torchvision; see :class:`trainers.data.source.Source`.

Order, crops and flips depend only on (seed, epoch, position in the epoch). So they are the same for any number of
DataLoader workers and devices, and for a run that resumes at any epoch.
"""

from __future__ import annotations

import ctypes
import math
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.v2 import functional as V

from trainers.data.folder import Files, open_rgb, resize_and_crop
from trainers.data.imagenet import Folders
from trainers.data.source import Batch
from trainers.data.split import Labels
from trainers.data.standardizer import Standardizer
from trainers.groups import share_of_batch
from trainers.recipe import RecipeError

STANDARD = Standardizer(
    mean=(0.485 * 255, 0.456 * 255, 0.406 * 255), std=(0.229 * 255, 0.224 * 255, 0.225 * 255)
)  # ImageNet's
CROP_AREA = (0.08, 1.0)  # fraction of the image that a crop covers
CROP_RATIO = (3 / 4, 4 / 3)  # width / height of a crop
MAX_TRIES = 10
DALI = "nvidia-dali-cuda130"
PR_SET_PDEATHSIG = 1  # of Linux's prctl
ORDER, AUGMENTATION = 0, 1  # separate random streams


class StreamNumbers(Protocol):
    """The numbers of a recipe that this module uses."""

    @property
    def batch(self) -> int:
        """Samples per step, over all devices."""

    @property
    def image_size(self) -> int:
        """Pixels of a side of an input, S."""

    @property
    def workers(self) -> int:
        """DataLoader workers, at most one per core; 0 loads in this process."""

    @property
    def loader(self) -> str:
        """``auto``, ``torchvision`` or ``dali``."""

    @property
    def channels_last(self) -> bool:
        """Whether inputs have their channels last in memory."""


class Crop(NamedTuple):
    """Part of an image, in pixels, and whether to mirror it."""

    top: int
    left: int
    height: int
    width: int
    flip: bool


class Stream:
    """Batches by torchvision and torch's ``DataLoader``.

    Args:
        folders: the files.
        numbers: of the recipe.
        device: of the batches.
        seed: of order and augmentation.
        rank: of this device.
        devices: number of devices that share a batch.
    """

    standardizer = STANDARD

    def __init__(
        self,
        folders: Folders,
        numbers: StreamNumbers,
        device: torch.device,
        seed: int,
        rank: int = 0,
        devices: int = 1,
    ) -> None:
        self.folders = folders
        self.numbers = numbers
        self.device = device
        self.seed = seed
        self.rank = rank
        self.share = share_of_batch(numbers.batch, real_devices=devices)
        self.classes = folders.classes
        self.shape = (3, numbers.image_size, numbers.image_size)
        self.steps = len(folders.train) // numbers.batch
        self.test_sets = tuple(folders.tests)

    def training(self, epoch: int) -> Iterator[Batch]:
        """Yield this device's share, consecutive samples, of every batch of an epoch in random order."""
        order = epoch_order(len(self.folders.train), self.seed, epoch)
        positions = np.arange(self.steps * self.numbers.batch).reshape(self.steps, -1)
        mine = positions[:, self.rank * self.share : (self.rank + 1) * self.share]
        return self.read(self.folders.train, [BatchRequest(order[own], own) for own in mine], epoch)

    def evaluation(self, split: str) -> Iterator[Batch]:
        """Yield all of ``validation`` or a test set in order, on every device."""
        files = self.folders.split(split)
        rows = np.arange(len(files))
        return self.read(files, [BatchRequest(rows[at : at + self.share]) for at in range(0, len(rows), self.share)])

    def read(self, files: Files, requests: list[BatchRequest], epoch: int = 0) -> Iterator[Batch]:
        """Yield one batch per request."""
        size = self.numbers.image_size
        cuda = self.device.type == "cuda"
        loader = DataLoader(
            BatchDataset(files, requests, size, self.seed, epoch),
            batch_size=None,  # a request is a whole batch
            num_workers=loader_workers(self.numbers.workers),
            pin_memory=cuda,
            worker_init_fn=die_with_parent,
            generator=torch.Generator(),  # otherwise it would use the global generator of initial weights and dropout
        )
        for read in loader:  # workers exit with this Python generator, and with its thread
            if isinstance(read, RecipeError):
                raise read
            pixels, labels = (tensor.to(self.device, non_blocking=True) for tensor in read)
            yield self.inputs(pixels), labels

    def inputs(self, pixels: Tensor) -> Tensor:
        """Standardise uint8 ``(M, S, S, 3)`` to float32 ``(M, 3, S, S)``."""
        kind = torch.channels_last if self.numbers.channels_last else torch.contiguous_format
        return self.standardizer.apply(pixels.permute(0, 3, 1, 2)).contiguous(memory_format=kind)

    def samples(self, split: str) -> int:
        """Return the number of samples in a split."""
        return len(self.folders.split(split))

    def state(self) -> dict[str, Any]:
        """Return an empty state: an epoch depends only on its number."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Do nothing."""


def die_with_parent(_: int) -> None:
    """Have the kernel kill this worker when its parent exits.

    torch checks the parent only every 5 s, and never while a finished batch waits to be taken.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class BatchRequest(NamedTuple):
    """Rows of a split to load as one batch, and their positions in the epoch if they are augmented."""

    rows: Labels
    positions: Labels | None = None


class BatchDataset(Dataset[Any]):
    """Loads the batch of a request: uint8 pixels ``(M, size, size, 3)`` and labels ``(M,)``.

    Returns the error for an unreadable image, because the DataLoader would wrap a raised one in a traceback.
    """

    def __init__(self, files: Files, requests: list[BatchRequest], size: int, seed: int, epoch: int) -> None:
        self.files, self.requests, self.size, self.seed, self.epoch = files, requests, size, seed, epoch

    def __len__(self) -> int:
        return len(self.requests)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor] | RecipeError:
        rows, positions = self.requests[number]
        pixels = np.empty((len(rows), self.size, self.size, 3), np.uint8)
        try:
            for at, row in enumerate(rows):
                image, _ = open_rgb(self.files.path(row))
                if positions is None:
                    image = resize_and_crop(image, shorter_side(self.size), self.size)
                else:
                    image = apply_crop(image, draw_crop(*image.size, self.seed, self.epoch, positions[at]), self.size)
                pixels[at] = np.asarray(image)
        except RecipeError as error:
            return error
        return torch.from_numpy(pixels), torch.from_numpy(self.files.labels[rows])


def epoch_order(samples: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the rows of an epoch in random order."""
    return np.random.default_rng([ORDER, seed, epoch]).permutation(samples)


def draw_crop(width: int, height: int, seed: int, epoch: int, position: int) -> Crop:
    """Draw a crop of random area and aspect ratio, and a flip, from the distributions of torchvision's transforms."""
    generator = np.random.default_rng([AUGMENTATION, seed, epoch, position])
    flip = bool(generator.random() < 0.5)
    for _ in range(MAX_TRIES):
        area = width * height * generator.uniform(*CROP_AREA)
        ratio = math.exp(generator.uniform(math.log(CROP_RATIO[0]), math.log(CROP_RATIO[1])))
        wide, high = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < wide <= width and 0 < high <= height:
            top, left = (int(generator.integers(room + 1)) for room in (height - high, width - wide))
            return Crop(top, left, high, wide, flip)
    wide = min(width, round(height * CROP_RATIO[1]))  # the largest centre crop within the ratios
    high = min(height, round(width / CROP_RATIO[0]))
    return Crop((height - high) // 2, (width - wide) // 2, high, wide, flip)


def apply_crop(image: Image.Image, crop: Crop, size: int) -> Image.Image:
    """Crop, resize to ``size`` (bilinear with antialias), and mirror if drawn."""
    resized = V.resized_crop(image, *crop[:4], [size, size], antialias=True)
    return V.horizontal_flip(resized) if crop.flip else resized  # type: ignore[no-any-return]


def loader_workers(workers: int) -> int:
    """Return the number of DataLoader workers: as requested, at most one per core."""
    return min(workers, os.cpu_count() or 1)


def shorter_side(size: int) -> int:
    """Return the shorter side after resizing for evaluation: 256 pixels for crops of 224."""
    return round(size * 256 / 224)
