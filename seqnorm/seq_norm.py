"""SeqNorm: GroupNorm, then GhostNorm (paper section 2.1)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from seqnorm.ghost_norm import ChannelNorm, ghost_norm


def seq_norm(
    input: Tensor,
    gc: int,
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
    """Normalize each sample over ``gc`` groups of channels, then each channel over ``gm`` groups of samples.

    The first half carries no affine: a scale per channel would be undone by the second half. The running statistics
    are those of the first half's output, and serve the second half in evaluation.

    Args:
        input: ``(M, C)`` or ``(M, C, *spatial)``.
        gc: the paper's G_C; must divide C.
        gm: the paper's G_M; must divide M in training.
        weight, bias, running_mean, running_var, training, momentum, eps: as in :func:`seqnorm.ghost_norm`.

    Returns:
        A tensor of the shape of ``input``.

    Raises:
        ValueError: if ``gc`` does not divide the channels, or as :func:`seqnorm.ghost_norm`.
    """
    C = input.shape[1]
    check_channel_groups(C, gc)
    if input.shape[1:].numel() == gc:
        raise ValueError(
            f"a group of channels needs at least 2 values: got gc={gc} for input {tuple(input.shape)}. "
            "Choose a smaller gc, or normalize an input with more than one position in space."
        )
    return ghost_norm(
        F.group_norm(input, gc, eps=eps),
        gm,
        weight=weight,
        bias=bias,
        running_mean=running_mean,
        running_var=running_var,
        training=training,
        momentum=momentum,
        eps=eps,
    )


def check_channel_groups(num_channels: int, gc: int) -> None:
    """Refuse uneven groups of channels.

    Raises:
        ValueError: with the numbers in it.
    """
    if gc < 1 or num_channels % gc:
        raise ValueError(
            f"gc must divide the channels: got gc={gc} for {num_channels} channels. "
            "Choose a divisor, or use GhostNorm for no GroupNorm half."
        )


class SeqNorm(ChannelNorm):
    """GroupNorm over ``gc`` groups of channels, then GhostNorm over ``gm`` groups of consecutive samples.

    See :func:`seq_norm` for the arithmetic and :class:`seqnorm.ghost_norm.ChannelNorm` for the options.
    """

    def __init__(self, num_channels: int, gc: int, gm: int, **options: float | bool) -> None:
        super().__init__(num_channels, **options)  # type: ignore[arg-type]  # ChannelNorm checks the names
        check_channel_groups(num_channels, gc)
        if gm < 1:
            raise ValueError(f"gm must be at least 1: got {gm}. Use 1 for one group, the whole batch.")
        self.gc = gc
        self.gm = gm

    def forward(self, input: Tensor) -> Tensor:
        """Normalize ``(M, C)`` or ``(M, C, *spatial)``."""
        self.check_input(input)
        self.count_batch()
        return seq_norm(
            input,
            self.gc,
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
        return f"{self.num_channels}, gc={self.gc}, gm={self.gm}"
