"""GhostNorm: batch normalization over groups of samples (paper sections 2.1 and 2.3, Figure 4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Shape legend: M samples, C channels, F positions in space (1 for fully connected layers),
# G groups of N = M // G consecutive samples.


def ghost_norm(
    input: Tensor,
    gm: int,
    *,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize each channel over groups of consecutive samples.

    In training the mean and the biased variance are taken over each of ``gm`` groups; the running statistics, where
    given, move once towards the mean over groups of the groups' mean and Bessel-corrected variance. In evaluation the
    running statistics normalize every sample, and ``gm`` has no influence.

    Args:
        input: ``(M, C)`` or ``(M, C, *spatial)``.
        gm: the paper's G_M; must divide M in training.
        weight, bias: ``(C,)``, applied after normalizing.
        running_mean, running_var: ``(C,)``; changed in place when training.
        training: whether to use the statistics of the input.
        momentum: how far the running statistics move, from 0 to 1.
        eps: added to the variance.

    Returns:
        A tensor of the shape of ``input``.

    Raises:
        ValueError: if ``gm`` does not divide the batch, a group holds a single value, or evaluation lacks statistics.
    """
    M, C = input.shape[:2]
    if training:
        check_groups(M, input[0, 0].numel() if M and C else 0, gm)
        x_GNCF = input.reshape(gm, M // gm, C, -1)
        mean_GC = x_GNCF.mean(dim=(1, 3))
        centred_GNCF = x_GNCF - mean_GC[:, None, :, None]
        var_GC = centred_GNCF.square().mean(dim=(1, 3))
        if running_mean is not None and running_var is not None:
            count = x_GNCF.shape[1] * x_GNCF.shape[3]
            with torch.no_grad():
                running_mean.lerp_(mean_GC.mean(dim=0), momentum)
                running_var.lerp_(var_GC.mean(dim=0) * (count / (count - 1)), momentum)
        output = (centred_GNCF * (var_GC + eps).rsqrt()[:, None, :, None]).reshape(input.shape)
    elif running_mean is None or running_var is None:
        raise ValueError(
            "GhostNorm evaluates with running statistics: got none. "
            "Pass running_mean and running_var, or call with training=True."
        )
    else:
        output = (input - per_channel(running_mean, input)) * per_channel((running_var + eps).rsqrt(), input)
    if weight is not None:
        output = output * per_channel(weight, input)
    if bias is not None:
        output = output + per_channel(bias, input)
    return output


def per_channel(values: Tensor, like: Tensor) -> Tensor:
    """Shape ``(C,)`` values so that they broadcast over ``like`` of shape ``(M, C, *spatial)``."""
    return values.reshape(1, -1, *[1] * (like.dim() - 2))


def check_groups(num_samples: int, num_positions: int, gm: int) -> None:
    """Refuse groups that are uneven or hold a single value.

    Raises:
        ValueError: with the numbers in it.
    """
    if gm < 1 or num_samples == 0 or num_samples % gm:
        raise ValueError(
            f"gm must divide the batch: got gm={gm} for {num_samples} samples. "
            "Drop the last incomplete batch (drop_last=True) or choose a divisor."
        )
    if num_samples // gm * num_positions < 2:
        raise ValueError(
            f"a group needs at least 2 values per channel: got {num_samples // gm} sample × {num_positions} position "
            f"with gm={gm} for {num_samples} samples. Choose a smaller gm."
        )


class ChannelNorm(nn.Module):
    """Channel count, affine parameters and running statistics that the layers of this package share.

    Args:
        num_channels: C, the size of dimension 1 of the input.
        eps: added to the variance.
        momentum: how far the running statistics move at each training step, from 0 to 1.
        affine: whether to learn ``weight`` and ``bias``, each ``(C,)``.
        track_running_stats: whether to keep ``running_mean`` and ``running_var``; without them evaluation uses the
            statistics of its input.
    """

    weight: Tensor | None
    bias: Tensor | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_channels: int,
        *,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__()
        if num_channels < 1:
            raise ValueError(
                f"num_channels must be at least 1: got {num_channels}. Pass the width of the layer before."
            )
        self.num_channels = num_channels
        self.eps = eps
        self.momentum = momentum
        self.weight = nn.Parameter(torch.ones(num_channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_channels)) if affine else None
        tracked = track_running_stats
        self.register_buffer("running_mean", torch.zeros(num_channels) if tracked else None)
        self.register_buffer("running_var", torch.ones(num_channels) if tracked else None)
        self.register_buffer("num_batches_tracked", torch.tensor(0, dtype=torch.long) if tracked else None)

    def check_input(self, input: Tensor) -> None:
        """Refuse an input of another width or kind.

        Raises:
            ValueError: if the input is not a floating tensor ``(M, num_channels, *spatial)``.
        """
        if input.dim() < 2 or input.shape[1] != self.num_channels or not input.is_floating_point():
            raise ValueError(
                f"input must be a floating tensor (M, {self.num_channels}, *spatial): "
                f"got {tuple(input.shape)} of {input.dtype}. Set num_channels to the width of the layer before."
            )

    def count_batch(self) -> None:
        """Count one training step."""
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)


class GhostNorm(ChannelNorm):
    """BatchNorm over ``gm`` groups of consecutive samples; ``gm=1`` is BatchNorm.

    See :func:`ghost_norm` for the arithmetic and :class:`ChannelNorm` for the options.
    """

    def __init__(self, num_channels: int, gm: int, **options: float | bool) -> None:
        super().__init__(num_channels, **options)  # type: ignore[arg-type]  # ChannelNorm checks the names
        if gm < 1:
            raise ValueError(f"gm must be at least 1: got {gm}. Use 1 for BatchNorm.")
        self.gm = gm

    def forward(self, input: Tensor) -> Tensor:
        """Normalize ``(M, C)`` or ``(M, C, *spatial)``."""
        self.check_input(input)
        self.count_batch()
        return ghost_norm(
            input,
            self.gm if self.training else 1,
            weight=self.weight,
            bias=self.bias,
            running_mean=self.running_mean,
            running_var=self.running_var,
            training=self.training or self.running_mean is None,
            momentum=self.momentum,
            eps=self.eps,
        )

    def extra_repr(self) -> str:
        """Show the numbers in ``print(model)``."""
        return f"{self.num_channels}, gm={self.gm}"
