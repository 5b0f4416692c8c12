"""From a trial's point and numbers to the layers of its network."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from seqnorm import GhostNorm, NoisyBatchNorm, SeqNorm
from trainers.groups import real_groups
from trainers.models.mlp import NormFactory
from trainers.trial import Params

MOMENTUM = 0.1  #: of the running statistics, for each step


class NoisySeqNorm(SeqNorm):
    """Gaussian noise on the input, in training, then SeqNorm."""

    def __init__(self, num_channels: int, sigma: float, gc: int, gm: int, **options: Any) -> None:
        super().__init__(num_channels, gc, gm, **options)
        self.sigma = sigma

    def forward(self, input: Tensor, *, gc: int | Tensor | None = None, gm: int | Tensor | None = None) -> Tensor:
        """Normalize ``(M, C)`` or ``(M, C, *spatial)``."""
        if self.training:
            input = input + self.sigma * torch.randn_like(input)
        return super().forward(input, gc=gc, gm=gm)


def norm_of(params: Params) -> NormFactory:
    """Return the factory of normalization layers that a trial's gm, gc and numbers ask for."""
    if not params.normalize:
        return lambda num_channels: nn.Identity()
    numbers, gc, passes = params.numbers, params.gc, params.numbers.accumulate
    options: dict[str, Any] = {"gm": real_groups(params.gm, numbers.devices, numbers.real_devices, passes)}
    options |= {"shared_var": True} if numbers.shared_var else {}
    if passes > 1:  # all passes of a step move running statistics as far as one would
        options |= {"momentum": 1 - (1 - MOMENTUM) ** (1 / passes)}
    if gc == 0:
        return (
            partial(NoisyBatchNorm, sigma=numbers.noise, **options) if numbers.noise else partial(GhostNorm, **options)
        )
    options |= {"gc": gc, "ghost_first": numbers.ghost_first}
    return partial(NoisySeqNorm, sigma=numbers.noise, **options) if numbers.noise else partial(SeqNorm, **options)
