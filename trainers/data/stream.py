"""Batches from image files, decoded and augmented by torchvision; see :class:`trainers.data.source.Source`.

The order of an epoch and every crop and flip follow from (seed, epoch, place in the epoch) alone. So they are the same
for any number of processes that read and devices that train, and for a run that begins at an epoch.
"""

from __future__ import annotations

import ctypes
import math
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.v2 import functional as V

from trainers.data.folder import Files, centre, open_rgb
from trainers.data.imagenet import Folders
from trainers.data.source import Batch, Source
from trainers.data.split import Labels
from trainers.data.standard import Standard
from trainers.groups import share_of_batch
from trainers.recipe import RecipeError

STANDARD = Standard(
    mean=(0.485 * 255, 0.456 * 255, 0.406 * 255), std=(0.229 * 255, 0.224 * 255, 0.225 * 255)
)  # ImageNet's
AREA = (0.08, 1.0)  # of an image that a crop covers
RATIO = (3 / 4, 4 / 3)  # of a crop's width to its height
TRIES = 10
DALI = "nvidia-dali-cuda130"
PR_SET_PDEATHSIG = 1  # of Linux's prctl
ORDER, CHANCE = 0, 1  # streams of random numbers that must not be one


class StreamNumbers(Protocol):
    """The numbers of a recipe that this file reads."""

    @property
    def batch(self) -> int:
        """Samples per step, over all devices."""

    @property
    def image_size(self) -> int:
        """Pixels of a side of an input, S."""

    @property
    def workers(self) -> int:
        """Processes that read images, no more than there are cores; 0 reads in this one."""

    @property
    def loader(self) -> str:
        """``auto``, ``torchvision`` or ``dali``."""

    @property
    def channels_last(self) -> bool:
        """Whether inputs have their channels last in memory."""


class Crop(NamedTuple):
    """Part of an image in pixels, and whether it is mirrored."""

    top: int
    left: int
    height: int
    width: int
    flip: bool


def make_stream(
    folders: Folders, numbers: StreamNumbers, device: torch.device, seed: int, rank: int = 0, devices: int = 1
) -> Source:
    """Return the stream that ``numbers.loader`` names; ``auto`` takes DALI where it is installed and feeds a GPU.

    Raises:
        RecipeError: if DALI is asked for and not installed, or the devices cannot share a batch.
    """
    installed = find_spec("nvidia") is not None and find_spec("nvidia.dali") is not None
    if numbers.loader == "dali" and not installed:
        raise RecipeError(
            f"loader=dali needs NVIDIA DALI: got none installed. Install it (pip install {DALI}), or choose "
            "--set loader=torchvision."
        )
    if numbers.loader == "dali" or (numbers.loader == "auto" and installed and device.type == "cuda"):
        from trainers.data.dali import DaliStream

        return DaliStream(folders, numbers, device, seed, rank, devices)
    return Stream(folders, numbers, device, seed, rank, devices)


class Stream:
    """Batches by torchvision and torch's ``DataLoader``.

    Args:
        folders: the files.
        numbers: of the recipe.
        device: what batches are handed over on.
        seed: of order and augmentation.
        rank: which of the devices this is.
        devices: how many share a batch.
    """

    standard = STANDARD

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
        """Make a pass in random order; of every batch this device's share of consecutive samples."""
        order = order_of(len(self.folders.train), self.seed, epoch)
        places = np.arange(self.steps * self.numbers.batch).reshape(self.steps, -1)
        mine = places[:, self.rank * self.share : (self.rank + 1) * self.share]
        return self.read(self.folders.train, [Task(order[own], own) for own in mine], epoch)

    def evaluation(self, split: str) -> Iterator[Batch]:
        """Go through ``validation`` or a test set in order, every image of it on every device."""
        files = self.folders.split(split)
        rows = np.arange(len(files))
        return self.read(files, [Task(rows[at : at + self.share]) for at in range(0, len(rows), self.share)])

    def read(self, files: Files, tasks: list[Task], epoch: int = 0) -> Iterator[Batch]:
        """Yield a batch for each task."""
        size = self.numbers.image_size
        cuda = self.device.type == "cuda"
        loader = DataLoader(
            Reader(files, tasks, size, self.seed, epoch),
            batch_size=None,  # a task is a batch already
            num_workers=processes(self.numbers.workers),
            pin_memory=cuda,
            worker_init_fn=end_with_parent,
            generator=torch.Generator(),  # else it draws from the one that initial weights and dropout draw from
        )
        for read in loader:  # its processes end with this generator, and with the thread that runs it
            if isinstance(read, RecipeError):
                raise read
            pixels, labels = (tensor.to(self.device, non_blocking=True) for tensor in read)
            yield self.inputs(pixels), labels

    def inputs(self, pixels: Tensor) -> Tensor:
        """Standardise uint8 ``(M, S, S, 3)`` to float32 ``(M, 3, S, S)``."""
        kind = torch.channels_last if self.numbers.channels_last else torch.contiguous_format
        return self.standard.apply(pixels.permute(0, 3, 1, 2)).contiguous(memory_format=kind)

    def samples(self, split: str) -> int:
        """Return the size of a split."""
        return len(self.folders.split(split))

    def state(self) -> dict[str, Any]:
        """Return nothing: an epoch follows from its number."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Need nothing."""


def end_with_parent(_: int) -> None:
    """Have the kernel kill this process when its parent is gone.

    torch's own look at the parent comes every 5 s, and never where a batch waits for somebody to take it.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Task(NamedTuple):
    """A batch to be read: rows of a split, with their places in the epoch if they are augmented."""

    rows: Labels
    places: Labels | None = None


class Reader(Dataset[Any]):
    """Decodes the batch of a task: uint8 pixels ``(M, size, size, 3)`` and labels ``(M,)``.

    An image that cannot be read makes it return the error: raised, it would come out of a process of the loader as a
    traceback.
    """

    def __init__(self, files: Files, tasks: list[Task], size: int, seed: int, epoch: int) -> None:
        self.files, self.tasks, self.size, self.seed, self.epoch = files, tasks, size, seed, epoch

    def __len__(self) -> int:
        return len(self.tasks)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor] | RecipeError:
        rows, places = self.tasks[number]
        pixels = np.empty((len(rows), self.size, self.size, 3), np.uint8)
        try:
            for at, row in enumerate(rows):
                image, _ = open_rgb(self.files.path(row))
                if places is None:
                    image = centre(image, shorter_side(self.size), self.size)
                else:
                    image = cropped(image, crop_of(*image.size, self.seed, self.epoch, places[at]), self.size)
                pixels[at] = np.asarray(image)
        except RecipeError as error:
            return error
        return torch.from_numpy(pixels), torch.from_numpy(self.files.labels[rows])


def order_of(samples: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the rows of an epoch in random order."""
    return np.random.default_rng([ORDER, seed, epoch]).permutation(samples)


def crop_of(width: int, height: int, seed: int, epoch: int, place: int) -> Crop:
    """Draw a crop of random area and aspect ratio, and a flip; the draws are those of torchvision's transforms."""
    generator = np.random.default_rng([CHANCE, seed, epoch, place])
    flip = bool(generator.random() < 0.5)
    for _ in range(TRIES):
        area = width * height * generator.uniform(*AREA)
        ratio = math.exp(generator.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
        wide, high = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < wide <= width and 0 < high <= height:
            top, left = (int(generator.integers(room + 1)) for room in (height - high, width - wide))
            return Crop(top, left, high, wide, flip)
    wide = min(width, round(height * RATIO[1]))  # as much of the centre as the ratios allow
    high = min(height, round(width / RATIO[0]))
    return Crop((height - high) // 2, (width - wide) // 2, high, wide, flip)


def cropped(image: Image.Image, crop: Crop, size: int) -> Image.Image:
    """Crop, resize to ``size`` (bilinear with antialias), and mirror if drawn so."""
    resized = V.resized_crop(image, *crop[:4], [size, size], antialias=True)
    return V.horizontal_flip(resized) if crop.flip else resized  # type: ignore[no-any-return]


def processes(workers: int) -> int:
    """Return how many of the processes that were asked for have a core."""
    return min(workers, os.cpu_count() or 1)


def shorter_side(size: int) -> int:
    """Return what the shorter side is resized to before evaluation: 256 pixels for crops of 224."""
    return round(size * 256 / 224)
