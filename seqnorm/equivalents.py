"""The paper's two other ways to GhostNorm, for models with BatchNorm (section 2.3).

GhostNorm never mixes groups of samples, so each group can pass through the network alone: one after another with
gradient accumulation, or each on its own device. All three ways give every parameter the same gradient if the loss is
a mean over samples. They differ in the running statistics: accumulation updates them once per group
(``running="sequential"``); devices keep those of their own group until they are averaged (``running="within"``).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, distributed, nn

from seqnorm.checks import check_sample_groups

Loss = Callable[[Tensor, Tensor], Tensor]


def accumulate_gradients(model: nn.Module, loss: Loss, input: Tensor, target: Tensor, gm: int) -> Tensor:
    """Accumulate the gradients of GhostNorm with ``gm`` groups, one group at a time (paper Figure 5).

    Needs memory for one group instead of the batch, and gm smaller passes instead of one.

    Args:
        model: a model with BatchNorm.
        loss: a mean over samples, of ``model(input)`` and ``target``.
        input, target: a batch; both are split along their first dimension.
        gm: the paper's G_M; must divide the batch.

    Returns:
        The loss over the whole batch, without gradient.

    Raises:
        InvalidGroups: if ``gm`` does not divide the batch.
    """
    check_sample_groups(input.shape[0], 2, gm)
    shares = []
    for group, target_group in zip(input.chunk(gm), target.chunk(gm), strict=True):
        share = loss(model(group), target_group) / gm
        share.backward()
        shares.append(share.detach())
    return torch.stack(shares).sum()


def average_gradients(model: nn.Module, group: distributed.ProcessGroup | None = None) -> None:
    """Average every parameter's gradient over the processes of a group, each of which has seen its share of the batch.

    With unsynchronized BatchNorm and equal shares this is GhostNorm with one group of samples per process.
    ``DistributedDataParallel`` does the same during backward.

    Args:
        model: the same in every process, after ``backward``.
        group: the processes; all of them by default.
    """
    for parameter in model.parameters():
        if parameter.grad is not None:
            average(parameter.grad, group)


def average_running_statistics(model: nn.Module, group: distributed.ProcessGroup | None = None) -> None:
    """Average the running statistics over processes, so that all evaluate alike.

    ``DistributedDataParallel`` instead copies those of the first process, which has seen only its own samples.

    Args:
        model: the same in every process; all its floating-point buffers are averaged.
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
