"""From a trial's point to the layers of its network."""

from __future__ import annotations

from torch import nn

from seqnorm import GhostNorm, SeqNorm
from trainers.groups import real_groups
from trainers.models.mlp import NormFactory
from trainers.trial import Params


def norm_of(params: Params, real_devices: int = 1) -> NormFactory:
    """Return the factory of normalization layers that a trial's gm and gc ask for."""
    if not params.normalize:
        return lambda num_channels: nn.Identity()
    gm = real_groups(params.gm, params.numbers.devices, real_devices)
    if params.gc == 0:
        return lambda num_channels: GhostNorm(num_channels, gm)
    return lambda num_channels: SeqNorm(num_channels, params.gc, gm)
