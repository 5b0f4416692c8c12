"""Weight standardisation (Qiao et al., 2019), which the paper tried together with its norms (A.4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

STANDARDIZED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Standardized(nn.Module):
    """Parametrization that gives each output channel mean 0 and variance 1 over its fan-in: (w − μ) / √(σ² + ε)."""

    def __init__(self, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, weight: Tensor) -> Tensor:
        """Standardize ``(channels out, channels in, *kernel)``."""
        fan_in = tuple(range(1, weight.dim()))
        var, mean = torch.var_mean(weight, fan_in, correction=0, keepdim=True)
        return (weight - mean) * (var + self.eps).rsqrt()


def standardize_weights(model: nn.Module, eps: float = 1e-5) -> tuple[str, ...]:
    """Standardize the weight of every Linear and Conv layer of a model.

    Uses ``torch.nn.utils.parametrize``: ``weight`` is the standardized weight that the layer computes with, and
    ``parametrizations.weight.original``, also in the state dict, is the learned one.

    Args:
        model: changed in place.
        eps: added to the variance.

    Returns:
        The paths of the changed layers. A layer with a fan-in of 1 is skipped, because its weight would become 0.
    """
    paths = []
    for path, layer in list(model.named_modules()):
        if not isinstance(layer, STANDARDIZED) or parametrize.is_parametrized(layer, "weight"):
            continue
        if layer.weight[0].numel() > 1:
            parametrize.register_parametrization(layer, "weight", Standardized(eps))
            paths.append(path)
    return tuple(paths)
