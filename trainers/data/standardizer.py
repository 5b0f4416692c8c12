"""Standardisation of input images."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Standardizer(NamedTuple):
    """Mean and standard deviation of each channel, in units of pixels from 0 to 255."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def fit(cls, pixels: Tensor) -> Standardizer:
        """Compute both over all ``pixels``, ``(N, C, H, W)``."""
        channels = [channel.to(torch.float32) for channel in pixels.unbind(1)]
        deviations = (channel.std(correction=0).item() for channel in channels)
        # std is 0 in a blank data set
        return cls(tuple(channel.mean().item() for channel in channels), tuple(max(std, 1e-6) for std in deviations))

    def apply(self, pixels: Tensor) -> Tensor:
        """Map uint8 ``(M, C, H, W)`` to float32; the pixels that were fitted get zero mean and unit variance."""
        mean, std = (pixels.new_tensor(values, dtype=torch.float32).view(-1, 1, 1) for values in self)
        return torch.sub(pixels, mean).div_(std)
