"""Mixup (Zhang et al., 2018), as NVIDIA's ImageNet recipe has it: one share for a whole batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def mixed(inputs: Tensor, labels: Tensor, classes: int, alpha: float) -> tuple[Tensor, Tensor]:
    """Mix a batch with itself in another order.

    The share is drawn from Beta(α, α) on the CPU, so that nothing waits for a device.

    Args:
        inputs: ``(M, …)``.
        labels: ``(M,)``.
        classes: how many there are.
        alpha: α, above 0.

    Returns:
        Inputs of the same shape, and labels as probabilities ``(M, classes)``.
    """
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    order = torch.randperm(len(labels), device=inputs.device)
    targets = F.one_hot(labels, classes).to(inputs.dtype)
    return share * inputs + (1 - share) * inputs[order], share * targets + (1 - share) * targets[order]
