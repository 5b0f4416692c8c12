"""Compute running statistics anew, for weights that no training step has seen."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from seqnorm.layers import SampleNorm


@torch.no_grad()
def update_statistics(loader: Iterable[Any], model: nn.Module, device: torch.device | str | int | None = None) -> None:
    """Compute the running statistics of a model anew, as the average over the batches of one pass over ``loader``.

    For averaged weights (``torch.optim.swa_utils.AveragedModel``, with EMA or without), or weights from a model with
    BatchNorm. It is ``torch.optim.swa_utils.update_bn``, which finds torch's BatchNorm alone, for the layers of this
    package too. Statistics of a layer that no batch reaches stay as they were. Each layer's momentum and each module's
    mode are restored, and if a batch fails, all statistics too.

    Args:
        loader: batches; of a tuple or list, the first element is the input.
        model: any module around the layers.
        device: where inputs are moved to; by default they stay.

    Raises:
        ValueError: if ``loader`` is empty, or no batch reaches a layer in training mode.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, (SampleNorm, _BatchNorm)) and statistics(layer)]
    if not layers:
        warnings.warn(
            "update_statistics needs a layer with running statistics: got a model without GhostNorm, SeqNorm or "
            "BatchNorm that tracks them. Nothing was updated.",
            stacklevel=3,
        )
        return
    momenta = [layer.momentum for layer in layers]
    kept = [[tensor.clone() for tensor in statistics(layer)] for layer in layers]
    modes = [(module, module.training) for module in model.modules()]
    reached = [False] * len(layers)
    try:
        model.train()
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # the cumulative average
        batches = 0
        for batch in loader:
            input = batch[0] if isinstance(batch, (list, tuple)) else batch
            model(input if device is None else input.to(device))
            batches += 1
        reached = [layer.num_batches_tracked is None or bool(layer.num_batches_tracked > 0) for layer in layers]
        if not any(reached):
            raise ValueError(
                f"update_statistics needs batches that reach a layer in training mode: got {batches} batches. "
                + ("Pass a loader with data." if batches == 0 else "Let model.train() put its norms in training mode.")
            )
    except BaseException:
        reached = [False] * len(layers)
        raise
    finally:
        for layer, momentum, tensors, moved in zip(layers, momenta, kept, reached, strict=True):
            layer.momentum = momentum
            if not moved:
                for tensor, before in zip(statistics(layer), tensors, strict=True):
                    tensor.copy_(before)
        for module, mode in modes:
            module.training = mode


def statistics(layer: SampleNorm | _BatchNorm) -> list[Tensor]:
    """Return the running statistics and the count of batches, as far as the layer has them."""
    every = (layer.running_mean, layer.running_var, layer.num_batches_tracked)
    return [tensor for tensor in every if tensor is not None]
