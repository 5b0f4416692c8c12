"""Mixup (Zhang et al., 2018), as in NVIDIA's ImageNet recipe: one mixing coefficient per batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def mixup_batch(inputs: Tensor, labels: Tensor, classes: int, alpha: float) -> tuple[Tensor, Tensor]:
    """Mix a batch with a permutation of itself.

    The coefficient is drawn from Beta(α, α) on the CPU, which avoids a device synchronization.

    Args:
        inputs: ``(M, …)``.
        labels: ``(M,)``.
        classes: number of classes.
        alpha: α, above 0.

    Returns:
        Inputs of the same shape, and labels as probabilities ``(M, classes)``.
    """
    coefficient = float(torch.distributions.Beta(alpha, alpha).sample())
    order = torch.randperm(len(labels), device=inputs.device)
    targets = F.one_hot(labels, classes).to(inputs.dtype)
    rest = 1 - coefficient
    return coefficient * inputs + rest * inputs[order], coefficient * targets + rest * targets[order]
