"""The norms as functions: a norm is the list of steps that it takes on the rows of its input.

gm and gc may be 0-dimensional integer tensors. Then nothing about them is checked, the groups are as even as they can
be, and one compiled program, or one ``torch.func.vmap`` over trials, serves every number of groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from seqnorm.chain import Assigned, Groups, Known, Step
from seqnorm.checks import (
    check_channel_group_values,
    check_channel_groups,
    check_convention,
    check_kind,
    check_sample_groups,
    whole,
)
from seqnorm.normalize import Statistics, normalize
from seqnorm.rows import statistics_dtype
from seqnorm.running import Convention, track


def group_norm(
    input: Tensor, gc: int | Tensor, *, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Normalize each sample over ``gc`` groups of consecutive channels (Wu & He, 2018).

    Args:
        input: ``(M, C)`` or ``(M, C, *spatial)``.
        gc: the paper's G_C; must divide C. 1 is LayerNorm over channels and space, C is InstanceNorm.
        weight, bias: ``(C,)``, applied after normalizing.
        eps: added to the variance.

    Returns:
        A tensor of the shape, dtype and memory layout of ``input``.

    Raises:
        ValueError: if ``gc`` does not divide the channels, or a group holds a single value.
    """
    check_kind(input)
    gc = whole(gc, "gc")
    if isinstance(gc, int):
        check_channel_groups(input.shape[1], gc)
        check_channel_group_values(input, gc)
        if no_space(input):  # the same arithmetic as torch's GroupNorm, in half of its time
            size = input.shape[1] // gc
            output = F.layer_norm(input.reshape(-1, gc, size), (size,), eps=eps).view(input.shape)
            return scale_and_shift(output, weight, bias).to(input.dtype)  # autocast on CUDA makes it float32
    output, _ = normalize(input, [channel_step(input, gc, eps)], weight, bias, eps)
    return output


def ghost_norm(
    input: Tensor,
    gm: int | Tensor,
    *,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    training: bool = True,
    momentum: float | Tensor = 0.1,
    eps: float = 1e-5,
    strided: bool = False,
    shared_var: bool = False,
    running: Convention = "within",
) -> Tensor:
    """Normalize each channel over groups of samples (paper sections 2.1 and 2.3, Figure 4).

    In training the mean and the biased variance are taken over each of ``gm`` groups, and the running statistics, where
    given, are moved. In evaluation the running statistics normalize every sample, and ``gm`` has no influence.

    Args:
        input: ``(M, C)`` or ``(M, C, *spatial)``.
        gm: the paper's G_M; must divide M in training.
        weight, bias: ``(C,)``, applied after normalizing.
        running_mean, running_var: ``(C,)``; changed in place when training.
        training: whether to use the statistics of the input.
        momentum: how far the running statistics move, from 0 to 1.
        eps: added to the variance.
        strided: whether sample i belongs to group i mod gm, instead of to the (i · gm / M)-th run.
        shared_var: whether a group's variance is taken over all its channels (Luo et al., 2020; paper A.4).
        running: the convention of the running statistics, see :mod:`seqnorm.running`.

    Returns:
        A tensor of the shape, dtype and memory layout of ``input``.

    Raises:
        ValueError: if ``gm`` does not divide the batch, a group holds a single value, or evaluation lacks statistics.
    """
    check_kind(input)
    check_convention(running)
    gm = whole(gm, "gm")
    if not training:
        return evaluate(input, *known(running_mean, running_var), weight, bias, eps)
    tracked = running_mean is not None and running_var is not None
    output, found = normalize_groups(input, gm, weight, bias, eps, strided, shared_var, tracked)
    if found is not None and running_mean is not None and running_var is not None:
        remember(found, input, gm, running_mean, running_var, momentum, shared_var, running)
    return output


def seq_norm(
    input: Tensor,
    gc: int | Tensor,
    gm: int | Tensor,
    *,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    training: bool = True,
    momentum: float | Tensor = 0.1,
    eps: float = 1e-5,
    strided: bool = False,
    shared_var: bool = False,
    running: Convention = "within",
    ghost_first: bool = False,
) -> Tensor:
    """Normalize each sample over ``gc`` groups of channels, then each channel over ``gm`` groups of samples.

    The first half carries no affine: a scale per channel would be undone by the second half. The running statistics
    are those of the GhostNorm half's input, and serve that half in evaluation; the GroupNorm half uses the sample.

    Args:
        input: ``(M, C)`` or ``(M, C, *spatial)``.
        gc: the paper's G_C; must divide C. A tensor may hold 0, for no GroupNorm half.
        gm: the paper's G_M; must divide M in training.
        weight, bias, running_mean, running_var, training, momentum, eps: as in :func:`ghost_norm`.
        strided, shared_var, running: as in :func:`ghost_norm`.
        ghost_first: whether the GhostNorm half comes first (paper A.4).

    Returns:
        A tensor of the shape, dtype and memory layout of ``input``.

    Raises:
        ValueError: if ``gc`` does not divide the channels, or as :func:`ghost_norm`.
    """
    check_kind(input)
    check_convention(running)
    gc, gm = whole(gc, "gc"), whole(gm, "gm")
    if isinstance(gc, int):
        check_channel_groups(input.shape[1], gc)
        check_channel_group_values(input, gc)
    tracked = running_mean is not None and running_var is not None
    found: Statistics | None = None
    if no_space(input) and isinstance(gc, int) and isinstance(gm, int):
        # without positions in space every row is one number, and two passes cost less than a chain
        output = input if ghost_first else group_norm(input, gc, eps=eps)
        of_ghost = (None, None) if ghost_first else (weight, bias)
        if training:
            output, found = normalize_groups(output, gm, *of_ghost, eps, strided, shared_var, tracked)
        else:
            output = evaluate(output, *known(running_mean, running_var), *of_ghost, eps)
        if ghost_first:
            output = group_norm(output, gc, weight=weight, bias=bias, eps=eps)
    else:
        of_samples: Step
        if not training:
            of_samples = Known(*known(running_mean, running_var))
        else:
            if isinstance(gm, int):
                check_sample_groups(input.shape[0], positions(input), gm)
            of_samples = sample_step(input, gm, eps, strided, shared_var)
        of_channels = channel_step(input, gc, eps)
        steps = [of_samples, of_channels] if ghost_first else [of_channels, of_samples]
        output, of_steps = normalize(input, steps, weight, bias, eps)
        found = of_steps[0 if ghost_first else 1] if training else None
    if found is not None and running_mean is not None and running_var is not None:
        remember(found, input, gm, running_mean, running_var, momentum, shared_var, running)
    return output


def evaluate(
    input: Tensor, mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """Normalize every sample by known statistics: torch's BatchNorm in evaluation."""
    mean, var = in_precision_of(input, mean), in_precision_of(input, var)
    weight, bias = (None if tensor is None else in_precision_of(input, tensor) for tensor in (weight, bias))
    return F.batch_norm(input, mean, var, weight, bias, training=False, eps=eps)


def normalize_groups(
    input: Tensor,
    gm: int | Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    strided: bool,
    shared_var: bool,
    tracked: bool,
) -> tuple[Tensor, Statistics | None]:
    """Normalize groups of samples; return also what was found in them, where that is ``tracked``."""
    if isinstance(gm, int):
        check_sample_groups(input.shape[0], positions(input), gm)
        if not shared_var and eps > 0 and (no_space(input) or is_batch_norm(input, gm)):
            return batch_norm_groups(input, gm, weight, bias, eps, strided, tracked)
    output, (found,) = normalize(input, [sample_step(input, gm, eps, strided, shared_var)], weight, bias, eps)
    return output, found


LOOP_FROM = 2**15  #: numbers in a group of a fully connected layer from which a loop over groups is the quicker way


def batch_norm_groups(
    input: Tensor, gm: int, weight: Tensor | None, bias: Tensor | None, eps: float, strided: bool, tracked: bool
) -> tuple[Tensor, Statistics | None]:
    """Normalize one group, or samples of one position, by torch's BatchNorm.

    Without positions in space every row is one number, and a chain would be as large as the input. But M samples of C
    channels in gm groups are M / gm samples of gm · C channels to BatchNorm, which costs two copies of the activation
    where groups are consecutive; a loop over groups costs two calls for each.
    """
    M, C = input.shape[:2]
    weight, bias = (None if tensor is None else in_precision_of(input, tensor) for tensor in (weight, bias))
    found = [input.new_zeros(gm, C, dtype=statistics_dtype(input.dtype)) for _ in range(2)] if tracked else None

    def batch_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, found: Sequence[Tensor] | None) -> Tensor:
        mean, var = found or (None, None)  # with momentum 1 torch leaves there what it finds
        return F.batch_norm(x, mean, var, weight, bias, training=True, momentum=1.0, eps=eps)

    if gm == 1:
        output = batch_norm(input, weight, bias, [tensor[0] for tensor in found] if found else None)
    elif not strided and input.numel() >= gm * LOOP_FROM:
        of_groups = [[tensor[g] for tensor in found] if found else None for g in range(gm)]
        chunks = zip(input.chunk(gm), of_groups, strict=True)
        output = torch.cat([batch_norm(chunk, weight, bias, of_group) for chunk, of_group in chunks])
    else:
        sizes, group_dim = ((M // gm, gm), 1) if strided else ((gm, M // gm), 0)
        folded = input.flatten(1).unflatten(0, sizes).movedim(group_dim, 1).reshape(-1, gm * C)
        weight, bias = (None if tensor is None else tensor.repeat(gm) for tensor in (weight, bias))
        output = batch_norm(folded, weight, bias, [tensor.view(-1) for tensor in found] if found else None)
        output = output.view(-1, gm, C).movedim(1, group_dim).reshape(input.shape)
    if found is None:
        return output, None
    mean, var = found
    values = M // gm * positions(input)
    return output, Statistics(mean.unsqueeze(1), var.unsqueeze(1) * (1 - 1 / values))  # torch's is Bessel-corrected


def positions(input: Tensor) -> int:
    """Return F, the number of positions in space."""
    return prod(input.shape[2:])


def no_space(input: Tensor) -> bool:
    """Whether torch's kernels are the quicker way because every row is one number; a compiler fuses the chain."""
    return positions(input) == 1 and not torch.compiler.is_compiling()


def is_batch_norm(input: Tensor, gm: int) -> bool:
    """Whether torch's BatchNorm is the same thing: in one group, eagerly, and where it keeps the memory layout.

    Its compiled form is less accurate than the chain's, and slower.
    """
    return gm == 1 and not torch.compiler.is_compiling() and (input.dim() != 3 or input.is_contiguous())


def channel_step(input: Tensor, gc: int | Tensor, eps: float) -> Step:
    """Return the GroupNorm half."""
    M, C = input.shape[:2]
    return Groups.of_channels(M, C, gc) if isinstance(gc, int) else Assigned.of(C, gc, eps, of_channels=True)


def sample_step(input: Tensor, gm: int | Tensor, eps: float, strided: bool, shared_var: bool) -> Step:
    """Return the GhostNorm half in training."""
    M, C = input.shape[:2]
    if isinstance(gm, int):
        return Groups.of_samples(M, C, gm, strided, shared_var)
    return Assigned.of(M, gm, eps, of_channels=False, strided=strided, shared_var=shared_var)


def known(running_mean: Tensor | None, running_var: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the running statistics.

    Raises:
        ValueError: if there are none.
    """
    if running_mean is None or running_var is None:
        raise ValueError(
            "GhostNorm evaluates with running statistics: got none. "
            "Pass running_mean and running_var, or call with training=True."
        )
    return running_mean, running_var


def remember(
    found: Statistics,
    input: Tensor,
    gm: int | Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    momentum: float | Tensor,
    shared_var: bool,
    running: Convention,
) -> None:
    """Move the running statistics by what was found in this batch."""
    if running == "sequential" and not isinstance(gm, int):
        raise ValueError("running='sequential' needs gm as an int: got a tensor. Use within or pooled.")
    M, C = input.shape[:2]
    in_channel = M * positions(input)
    mean = found.mean.flatten(0, -2)
    track(
        running_mean,
        running_var,
        mean,
        found.var.flatten(0, -2).expand_as(mean),
        values=(in_channel // gm if isinstance(gm, int) else in_channel / gm.to(mean.dtype)) * (C if shared_var else 1),
        batch_values=in_channel * (C if shared_var else 1),
        momentum=momentum,
        shared_var=shared_var,
        convention=running,
    )


def in_precision_of(input: Tensor, tensor: Tensor) -> Tensor:
    """Convert to what statistics of ``input`` are computed in."""
    return tensor.to(statistics_dtype(input.dtype))


def scale_and_shift(input: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """Apply one number per channel to ``(M, C, *spatial)``."""
    shape = (-1, *[1] * (input.dim() - 2))
    if weight is not None:
        input = input * weight.view(shape)
    return input if bias is None else input + bias.view(shape)
