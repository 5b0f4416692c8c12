"""Running statistics: collected in training, used in evaluation.

Public implementations of GhostNorm follow three conventions; "in the same way as BatchNorm" does not choose one:

- ``within`` (the default): one exponential update per step, towards the average over groups of their means and of their
  Bessel-corrected variances. This equals averaging the statistics of several devices.
- ``pooled``: one update per step, towards the mean and variance of the whole batch. This variance includes the variance
  between groups, so outputs in evaluation have unit variance.
- ``sequential``: one update per group, in turn, as a loop of BatchNorms over micro-batches does. With many groups only
  the last step counts: at momentum 0.1 and 64 groups, earlier steps keep a weight of 0.1 %.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

Convention = Literal["within", "pooled", "sequential"]
CONVENTIONS: tuple[str, ...] = get_args(Convention)


@torch.no_grad()
def update_running_statistics(
    running_mean: Tensor,
    running_var: Tensor,
    mean: Tensor,
    var: Tensor,
    *,
    values: float | Tensor,
    batch_values: int,
    momentum: float | Tensor,
    shared_var: bool,
    convention: Convention,
) -> None:
    """Update the running statistics in place.

    Args:
        running_mean, running_var: ``(C,)``.
        mean, var: of each group, ``(G, C)``; the variance is biased.
        values: how many values a group's variance is computed over; for ``sequential`` also ``(G, 1)``.
        batch_values: how many values the whole batch's variance is computed over.
        momentum: weight of the new statistics, from 0 to 1; for ``sequential`` also ``(G,)``, one for each group.
        shared_var: whether channels share their variance.
        convention: see the module docstring.
    """
    if convention == "sequential":
        keep = (1 - torch.as_tensor(momentum, dtype=mean.dtype, device=mean.device)).expand(mean.shape[0])
        # the weight that statistics from before each group still have after the last group
        kept_from = keep.flip(0).cumprod(0).flip(0)
        share = torch.cat([kept_from[1:], kept_from.new_ones(1)]) - kept_from
        new_mean = kept_from[0] * running_mean + (share[:, None] * mean).sum(0)
        new_var = kept_from[0] * running_var + (share[:, None] * var * (values / (values - 1))).sum(0)
    else:
        target_mean = mean.mean(0)
        if convention == "within":
            target_var = var.mean(0) * (values / (values - 1))
        else:
            target_var = (var + (mean - target_mean).square()).mean(0)
            target_var = (target_var.mean() if shared_var else target_var) * (batch_values / (batch_values - 1))
        new_mean = running_mean + momentum * (target_mean - running_mean)
        new_var = running_var + momentum * (target_var - running_var)
    store(running_mean, new_mean)
    store(running_var, new_var)


def store(target: Tensor, value: Tensor) -> None:
    """Write to a buffer in place; call it where no gradient is recorded.

    The layer may run inside ``torch.func``'s grad or jvp, which refuse to write to a tensor from outside; torch's
    kernels do that unseen. Under vmap it stays refused, because there is one buffer for many values.
    """
    if torch.compiler.is_compiling() or not torch._C._are_functorch_transforms_active():
        target.copy_(value)
        return
    from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

    plain = value
    while torch._C._functorch.is_gradtrackingtensor(plain):
        plain = torch._C._functorch.get_unwrapped(plain)
    if any(torch._C._functorch.is_functorch_wrapped_tensor(tensor) for tensor in (target, plain)):
        target.copy_(value)  # the caller of the transform passed the buffer
    else:
        with temporarily_clear_interpreter_stack():
            target.copy_(plain.detach())
