"""What inputs are standardised by."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Standard(NamedTuple):
    """Mean and standard deviation of each channel, in units of pixels from 0 to 255."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, pixels: Tensor) -> Standard:
        """Take them over all ``pixels``, ``(N, C, H, W)``."""
        channels = [channel.to(torch.float32) for channel in pixels.unbind(1)]
        deviations = (channel.std(correction=0).item() for channel in channels)
        # a blank data set has none
        return cls(tuple(channel.mean().item() for channel in channels), tuple(max(std, 1e-6) for std in deviations))

    def apply(self, pixels: Tensor) -> Tensor:
        """Map uint8 ``(M, C, H, W)`` to float32: zero mean and unit variance where the figures are the pixels' own."""
        mean, std = (pixels.new_tensor(of, dtype=torch.float32).view(-1, 1, 1) for of in self)
        return torch.sub(pixels, mean).div_(std)
