"""The normalization layers of a trial, from its point and its recipe's numbers."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

from seqnorm import GhostNorm, GroupNorm, NoisyBatchNorm, NoisySeqNorm, SeqNorm
from trainers.groups import group_norm_error, real_groups
from trainers.models.mlp import NormFactory
from trainers.recipe import RecipeError
from trainers.trial import Params

MOMENTUM = 0.1  #: of the running statistics, per step


def make_norm_factory(params: Params) -> NormFactory:
    """Return a factory ``norm(num_channels)`` for a trial's gm, gc and numbers.

    Raises:
        RecipeError: if there is no such layer.
    """
    if not params.normalize:
        return lambda num_channels: nn.Identity()
    numbers, gc, passes = params.numbers, params.gc, params.numbers.accumulate
    if params.gm == 0:
        if refusal := group_norm_error(gc, numbers):
            raise RecipeError(refusal)
        return partial(GroupNorm, gc=gc)
    options: dict[str, Any] = {"gm": real_groups(params.gm, numbers.devices, numbers.real_devices, passes)}
    options |= {"shared_var": True} if numbers.shared_var else {}
    if passes > 1:  # together the passes of a step update the running statistics as much as one step
        options |= {"momentum": 1 - (1 - MOMENTUM) ** (1 / passes)}
    if gc == 0:
        return (
            partial(NoisyBatchNorm, sigma=numbers.noise, **options) if numbers.noise else partial(GhostNorm, **options)
        )
    options |= {"gc": gc, "ghost_first": numbers.ghost_first}
    return partial(NoisySeqNorm, sigma=numbers.noise, **options) if numbers.noise else partial(SeqNorm, **options)
