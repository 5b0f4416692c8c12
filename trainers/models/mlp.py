"""Fully connected networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

NormFactory = Callable[[int], nn.Module]


def mlp(inputs: int, hidden: Sequence[int], classes: int, norm: NormFactory, dropout: float = 0.0) -> nn.Sequential:
    """Stack Linear → norm → ReLU for each hidden width, then a linear classifier (paper equation 1)."""
    layers: list[nn.Module] = [nn.Flatten()]
    for width in hidden:
        layers += [nn.Linear(inputs, width), norm(width), nn.ReLU()]
        layers += [nn.Dropout(dropout)] if dropout else []
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, classes))
