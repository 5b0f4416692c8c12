"""The paper's two other ways to GhostNorm, in models that know only BatchNorm (section 2.3).

A group of samples never meets another inside GhostNorm, so each can go through the network alone: one after the other,
accumulating gradients, or each on a device of its own. All three give every parameter the same gradient, provided that
the loss is a mean over samples. They differ in the running statistics: accumulating moves them once for every group
(``running="sequential"``), and devices keep each its own group's until they are averaged (``running="within"``).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, distributed, nn

from seqnorm.checks import check_sample_groups

Loss = Callable[[Tensor, Tensor], Tensor]


def accumulate_gradients(model: nn.Module, loss: Loss, input: Tensor, target: Tensor, gm: int) -> Tensor:
    """Add to every parameter's gradient as GhostNorm with ``gm`` groups would, one group at a time (paper Figure 5).

    It takes the memory of one group instead of the batch, and gm smaller passes instead of one.

    Args:
        model: one that normalizes with BatchNorm.
        loss: a mean over samples, of ``model(input)`` and ``target``.
        input, target: a batch; both are cut along their first dimension.
        gm: the paper's G_M; must divide the batch.

    Returns:
        The loss over the whole batch, without gradient.

    Raises:
        ValueError: if ``gm`` does not divide the batch.
    """
    check_sample_groups(input.shape[0], 2, gm)
    shares = []
    for group, of_group in zip(input.chunk(gm), target.chunk(gm), strict=True):
        share = loss(model(group), of_group) / gm
        share.backward()
        shares.append(share.detach())
    return torch.stack(shares).sum()


def average_gradients(model: nn.Module, group: distributed.ProcessGroup | None = None) -> None:
    """Average every parameter's gradient over the processes of a group, each of which has seen its share of the batch.

    With unsynchronized BatchNorm and shares of one size this is GhostNorm with a group of samples for every process;
    it is what ``DistributedDataParallel`` does while it goes backward.

    Args:
        model: the same in every process, after ``backward``.
        group: the processes; all of them by default.
    """
    for parameter in model.parameters():
        if parameter.grad is not None:
            average(parameter.grad, group)


def average_running_statistics(model: nn.Module, group: distributed.ProcessGroup | None = None) -> None:
    """Average the running statistics over processes, so that all evaluate alike.

    ``DistributedDataParallel`` does not: it copies those of the first process, which has seen its own samples only.

    Args:
        model: the same in every process; all its buffers of floating numbers are averaged.
        group: the processes; all of them by default.
    """
    for buffer in model.buffers():
        if buffer.is_floating_point():
            average(buffer, group)


@torch.no_grad()
def average(tensor: Tensor, group: distributed.ProcessGroup | None) -> None:
    """Replace a tensor by its mean over processes; gloo can sum but not average."""
    distributed.all_reduce(tensor, group=group)
    tensor /= distributed.get_world_size(group)
