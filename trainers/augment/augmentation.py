"""Augmentation of a training batch: random draws for the whole batch, then applied to each device's share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from trainers.augment.geometry import shift_flip_and_cut
from trainers.augment.operations import OPERATIONS, tables
from trainers.augment.randaugment import randaugment


class Draws(NamedTuple):
    """Random draws for a batch; the first dimension of every tensor is the image."""

    flip: Tensor  #: (images,) bool: mirrored left-right
    offset: Tensor  #: (images, 2) int64: row and column of the padded image where the crop starts
    centre: Tensor  #: (images, 2) int64: row and column of the Cutout square's centre
    operations: Tensor  #: (images, randaugment_n) int64: indices of OPERATIONS
    negative: Tensor  #: (images, randaugment_n) bool: whether the magnitude is negated, for operations with a sign

    def share(self, rank: int, devices: int) -> Draws:
        """Return one device's share: consecutive images, equally many per device.

        Raises:
            ValueError: if the images do not divide evenly, or there is no such rank.
        """
        images = len(self.flip)
        if not 0 <= rank < devices or images % devices:
            raise ValueError(
                f"devices must divide the images, and rank be one of them: got {images} images, rank {rank} of "
                f"{devices} devices. Choose a batch that the devices divide, and ranks 0 to devices - 1."
            )
        size = images // devices
        return Draws(*(drawn[rank * size : (rank + 1) * size] for drawn in self))


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """RandAugment, then zero padding and a random crop, a random flip, and Cutout, in the order of Cubuk's code.

    Draw with :meth:`draw`, apply with :meth:`augment_pixels`, standardise, apply with :meth:`augment_inputs`. No step
    synchronizes with the device, except that the first copies RandAugment's constants there.
    """

    flip: bool = False  #: mirror left-right with probability one half
    pad: int = 0  #: pixels of zero padding on each side, then a random crop of the original size
    cutout: int = 0  #: side, in pixels, of the square set to zero; 0 for none
    randaugment_n: int = 0  #: operations per image; 0 for none
    randaugment_m: float = 0  #: magnitude of every operation, in 0..magnitude_max
    magnitude_max: float = 30  #: the magnitude of full strength, on torchvision's scale

    def __post_init__(self) -> None:
        for name in ("pad", "cutout", "randaugment_n"):
            if (received := getattr(self, name)) < 0:
                raise ValueError(f"{name} must not be negative: got {received}. 0 turns it off.")
        if not 0 < self.magnitude_max < math.inf:
            raise ValueError(f"magnitude_max must be positive: got {self.magnitude_max}. torchvision's is 30.")
        if not 0 <= self.randaugment_m <= self.magnitude_max:
            raise ValueError(
                f"randaugment_m must be in 0..magnitude_max: got {self.randaugment_m}, magnitude_max "
                f"{self.magnitude_max}. Lower randaugment_m or raise magnitude_max."
            )

    def draw(self, images: int, height: int, width: int, generator: torch.Generator) -> Draws:
        """Draw for a whole batch, on the generator's device; disabled operations draw nothing."""

        def integers(below: int, columns: int) -> Tensor:
            size = (images, columns)
            return torch.randint(below, size, generator=generator, device=generator.device)

        def zeros(columns: int) -> Tensor:
            return torch.zeros((images, columns), dtype=torch.int64, device=generator.device)

        def pixel() -> Tensor:
            return torch.cat([integers(height, 1), integers(width, 1)], dim=1)

        return Draws(
            flip=(integers(2, 1) if self.flip else zeros(1))[:, 0].bool(),
            # includes 2 * pad, like torchvision; Cubuk's code omits the last offset (off by one)
            offset=integers(2 * self.pad + 1, 2) if self.pad else zeros(2),
            centre=pixel() if self.cutout else zeros(2),
            operations=integers(len(OPERATIONS), self.randaugment_n),
            negative=integers(2, self.randaugment_n).bool(),
        )

    def augment_pixels(self, pixels: Tensor, draws: Draws) -> Tensor:
        """Apply RandAugment to uint8 images (N, C, H, W) with one or three channels.

        Raises:
            ValueError: for another dtype or number of channels, or draws for another number of images.
        """
        if not self.randaugment_n:
            return pixels
        _check_number(pixels, draws)
        if pixels.dtype != torch.uint8 or pixels.shape[1] not in (1, 3):
            raise ValueError(
                f"RandAugment takes uint8 images of 1 or 3 channels: got {pixels.dtype}, {pixels.shape[1]} channels. "
                "Apply it before standardising, or set randaugment_n=0."
            )
        constants = tables(self.randaugment_m, self.magnitude_max, *pixels.shape[2:], pixels.device)
        return randaugment(pixels, draws.operations, draws.negative, constants)

    def augment_inputs(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Crop, flip and cut standardised images (N, C, H, W), in which 0 is the data set's mean.

        Keeps the dtype and the memory format.

        Raises:
            ValueError: if the draws are for another number of images.
        """
        if not (self.flip or self.pad or self.cutout):
            return inputs
        _check_number(inputs, draws)
        return shift_flip_and_cut(
            inputs,
            shift=draws.offset - self.pad,
            flip=draws.flip,
            centre=draws.centre,
            side=self.cutout,
        )


def _check_number(images: Tensor, draws: Draws) -> None:
    if len(images) != len(draws.flip):
        raise ValueError(
            f"one draw per image is needed: got {len(draws.flip)} draws for {len(images)} images. "
            "Take the share of the draws that belongs to these images."
        )
