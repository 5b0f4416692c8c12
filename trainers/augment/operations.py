"""RandAugment's operations as lookup tables for one magnitude.

Names, order, strengths and arithmetic are those of ``torchvision.transforms.RandAugment``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

OPERATIONS = (
    "Identity",
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
    "Rotate",
    "Brightness",
    "Color",
    "Contrast",
    "Sharpness",
    "Posterize",
    "Solarize",
    "AutoContrast",
    "Equalize",
)


class Tables(NamedTuple):
    """Constants with a row for every operation and sign: row ``2 * operation + negative``."""

    source: Tensor  #: (28, H·W) int64: source pixel of each pixel
    inside: Tensor  #: (28, 1, H·W) uint8: 0 if the source is outside the image, else 1
    lookup: Tensor  #: (28, 256) uint8: new value of each grey level
    factor: Tensor  #: (28, 1, 1, 1) float32: weight of the image in a mixture
    rest: Tensor  #: (28, 1, 1, 1) float32: weight of the other image in a mixture, 1 - factor


@functools.lru_cache(maxsize=16)
def tables(magnitude: float, magnitude_max: float, height: int, width: int, device: torch.device) -> Tables:
    """Return the tables for an image size; computed on the CPU, so they are the same on every device."""

    def level(full: float, none: float = 0.0) -> float:
        if float(magnitude).is_integer() and float(magnitude_max).is_integer():
            # torchvision's float32 value, bit for bit: it decides ties between neighbouring source pixels
            return torch.linspace(none, full, int(magnitude_max) + 1)[int(magnitude)].item()
        return none + (full - none) * magnitude / magnitude_max

    threshold, bits_off = level(0.0, 255.0), round(magnitude / (magnitude_max / 4))
    matrices, lookup, factor = [], [], []
    for operation in OPERATIONS:
        for sign in (1.0, -1.0):
            matrices.append(_matrix(operation, sign, level, height, width))
            factor.append(1.0 + sign * level(0.9))
            lookup.append(_levels(operation, factor[-1], bits_off, threshold))
    source = _sources(torch.tensor(matrices).view(-1, 2, 3), height, width)
    constants = Tables(
        source=source.clamp(min=0),
        inside=(source >= 0).to(torch.uint8)[:, None],
        lookup=torch.stack(lookup),
        factor=torch.tensor(factor)[:, None, None, None],
        rest=torch.tensor([1.0 - image_factor for image_factor in factor])[:, None, None, None],
    )
    return Tables(*(constant.to(device) for constant in constants))


def _levels(operation: str, factor: float, bits_off: int, threshold: float) -> Tensor:
    """Return (256,) uint8: the new value of each grey level."""
    levels = torch.arange(256)
    match operation:
        case "Brightness":
            levels = (levels.float() * factor).clamp(0, 255)
        case "Posterize":
            levels = levels & -(2**bits_off)
        case "Solarize":
            levels = torch.where(levels >= threshold, 255 - levels, levels)
    return levels.to(torch.uint8)


def _matrix(operation: str, sign: float, level: Callable[[float], float], height: int, width: int) -> list[float]:
    """Return the two rows of the map from target to source, in pixels from the centre."""
    shear = sign * level(0.3)
    match operation:
        case "ShearX":  # around the upper left corner
            return [1.0, shear, shear * height / 2, 0.0, 1.0, 0.0]
        case "ShearY":
            return [1.0, 0.0, 0.0, shear, 1.0, shear * width / 2]
        case "TranslateX":  # whole pixels, rounded towards zero
            return [1.0, 0.0, -sign * int(level(150 / 331 * width)), 0.0, 1.0, 0.0]
        case "TranslateY":
            return [1.0, 0.0, 0.0, 0.0, 1.0, -sign * int(level(150 / 331 * height))]
        case "Rotate":
            angle = math.radians(sign * level(30.0))
            return [math.cos(angle), -math.sin(angle), 0.0, math.sin(angle), math.cos(angle), 0.0]
    return [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]


def _sources(matrices: Tensor, height: int, width: int) -> Tensor:
    """Return (rows, H·W) int64, for matrices (rows, 2, 3) from target to source: the nearest pixel, or -1 outside.

    Follows torchvision's ``affine``, also one matrix at a time, so that rounding is the same.
    """
    y, x = torch.meshgrid(
        torch.linspace(-height * 0.5 + 0.5, height * 0.5 - 0.5, height),
        torch.linspace(-width * 0.5 + 0.5, width * 0.5 - 0.5, width),
        indexing="ij",
    )
    target = torch.stack([x, y, torch.ones_like(x)], dim=-1).view(1, -1, 3)
    to_grid = matrices.transpose(1, 2) / torch.tensor([0.5 * width, 0.5 * height])
    grid = torch.cat([target.bmm(matrix[None]) for matrix in to_grid]).view(-1, height, width, 2)
    numbers = torch.arange(1.0, height * width + 1).view(1, 1, height, width).expand(len(matrices), -1, -1, -1)
    return F.grid_sample(numbers, grid, mode="nearest", align_corners=False).flatten(1).long() - 1
