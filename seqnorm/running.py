"""Running statistics: what evaluation normalizes with, gathered while training.

Public implementations of GhostNorm follow three conventions, and "in the same way as BatchNorm" does not choose:

- ``within`` (the default): one exponential update a step, towards the mean over groups of their means and of their
  Bessel-corrected variances. It is what averaging the statistics of several devices gives.
- ``pooled``: one update a step, towards the mean and variance of the whole batch. The variance is larger by that
  between groups, so outputs in evaluation have unit variance.
- ``sequential``: one update for every group, in turn, as a loop of BatchNorms over micro-batches makes them. Of many
  groups it remembers little more than the last step: at momentum 0.1 and 64 groups, 0.1 % of the steps before.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

Convention = Literal["within", "pooled", "sequential"]
CONVENTIONS: tuple[str, ...] = get_args(Convention)


@torch.no_grad()
def track(
    running_mean: Tensor,
    running_var: Tensor,
    mean: Tensor,
    var: Tensor,
    *,
    values: int | Tensor,
    batch_values: int,
    momentum: float | Tensor,
    shared_var: bool,
    convention: Convention,
) -> None:
    """Move the running statistics, in place.

    Args:
        running_mean, running_var: ``(C,)``.
        mean, var: of every group, ``(G, C)``; the variance is biased.
        values: how many numbers a group's variance is taken over.
        batch_values: how many numbers the whole batch's variance is taken over.
        momentum: how far to move, from 0 to 1; for ``sequential`` also ``(G,)``, one for each group.
        shared_var: whether channels share their variance.
        convention: as above.
    """
    if convention == "sequential":
        keep = (1 - torch.as_tensor(momentum, dtype=mean.dtype, device=mean.device)).expand(mean.shape[0])
        kept_from = keep.flip(0).cumprod(0).flip(0)  # how much of what was there before a group is left at the end
        share = torch.cat([kept_from[1:], kept_from.new_ones(1)]) - kept_from
        new_mean = kept_from[0] * running_mean + (share[:, None] * mean).sum(0)
        new_var = kept_from[0] * running_var + (share[:, None] * var).sum(0) * (values / (values - 1))
    else:
        target = mean.mean(0)
        if convention == "within":
            spread = var.mean(0) * (values / (values - 1))
        else:
            spread = (var + (mean - target).square()).mean(0)
            spread = (spread.mean() if shared_var else spread) * (batch_values / (batch_values - 1))
        new_mean = running_mean + momentum * (target - running_mean)
        new_var = running_var + momentum * (spread - running_var)
    running_mean.copy_(new_mean)
    running_var.copy_(new_var)
