"""The norms as functions.

With M samples, C channels and F positions, each norm is one or two steps of

    x ← (x − μ) / √(σ² + ε)        μ, σ²: mean and biased variance of a group of values

followed by ``x · weight + bias`` per channel:

    group_norm  a group is C / gc consecutive channels of one sample: C / gc · F values
    ghost_norm  a group is M / gm samples in one channel: M / gm · F values; in evaluation it uses running statistics
    seq_norm    group_norm(gc), then ghost_norm(gm); with ``ghost_first`` in reverse order

All execution paths compute the same values. The first row that applies decides:

    input and options                                   path
    no samples                                          scaled and shifted, so that every gradient is 0
    ghost_norm in evaluation                            ``F.batch_norm`` with the running statistics
    F = 1, not compiling, gm and gc are ints            seq_norm runs its two steps separately
      group step                                        ``F.layer_norm`` over each group
      ghost step in evaluation                          ``F.batch_norm`` with the running statistics
      ghost step, eps > 0, not shared_var               ``F.batch_norm``: one call, folded groups, or a loop
    ghost_norm with gm = 1, not compiling,              ``F.batch_norm``; not for an input (M, C, F) that is not
      eps > 0, not shared_var                             contiguous, whose memory layout it would change
    torch.compile, torch.jit.trace, torch.func,         ``normalize.normalize_with_autograd``: differentiable
      forward-mode derivatives, gm or gc is a tensor,     operations for compiler, transform or autograd
      groups of unequal size, input (M, C)
    otherwise                                           ``normalize.Normalize``: blocked passes, manual backward

``gm`` and ``gc`` may be 0-dimensional integer tensors. They are then not checked, group sizes differ by at most one,
and one compiled program, or one ``torch.func.vmap`` over trials, serves every number of groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from seqnorm.chain import FixedStatistics, Groups, Step, TensorGroups
from seqnorm.checks import (
    as_count,
    check_channel_group_size,
    check_channel_groups,
    check_convention,
    check_shape_and_dtype,
)
from seqnorm.normalize import Statistics, normalize
from seqnorm.rows import statistics_dtype
from seqnorm.running import Convention, update_running_statistics
from seqnorm.uneven import Uneven, check_uneven, groups_of_batch, unequal_groups


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
        A tensor with the shape, dtype and memory layout of ``input``.

    Raises:
        InvalidGroups: if ``gc`` does not divide the channels, or a group holds a single value.
    """
    check_shape_and_dtype(input)
    gc = as_count(gc, "gc")
    if isinstance(gc, int):
        check_channel_groups(input.shape[1], gc)
        check_channel_group_size(input, gc)
    if input.shape[0] == 0:
        return scale_and_shift_nothing(input, weight, bias)
    if isinstance(gc, int) and has_one_position(input):  # the arithmetic of torch's GroupNorm, in half its time
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
    uneven: Uneven = "error",
) -> Tensor:
    """Normalize each channel over groups of samples (paper sections 2.1 and 2.3, Figure 4).

    In training, mean and biased variance are computed over each of ``gm`` groups, and the running statistics, if given,
    are updated. In evaluation the running statistics normalize every sample, and ``gm`` is ignored.

    Args:
        input: ``(M, C)`` or ``(M, C, *spatial)``.
        gm: the paper's G_M; must divide M in training, unless ``uneven`` allows others.
        weight, bias: ``(C,)``, applied after normalizing.
        running_mean, running_var: ``(C,)``; updated in place when training.
        training: whether to use the statistics of the input.
        momentum: weight of the new statistics in the running ones, from 0 to 1.
        eps: added to the variance.
        strided: whether sample i belongs to group i mod gm, instead of groups of consecutive samples.
        shared_var: whether a group's variance is computed over all channels (Luo et al., 2020; paper A.4).
        running: the convention of the running statistics, see :mod:`seqnorm.running`.
        uneven: what to do with a training batch that ``gm`` does not divide, see :mod:`seqnorm.uneven`.

    Returns:
        A tensor with the shape, dtype and memory layout of ``input``.

    Raises:
        InvalidGroups: if ``gm`` does not divide the batch, or a group holds a single value.
        ValueError: if evaluation lacks running statistics.
    """
    check_shape_and_dtype(input)
    check_convention(running)
    check_uneven(uneven)
    gm = as_count(gm, "gm")
    if not training:
        return evaluate(input, *require_running_statistics(running_mean, running_var), weight, bias, eps)
    if isinstance(gm, int):
        gm = groups_of_batch(input.shape[0], positions(input), gm, uneven)
    if input.shape[0] == 0:
        return scale_and_shift_nothing(input, weight, bias)
    tracked = running_mean is not None and running_var is not None
    output, found = normalize_groups(input, gm, weight, bias, eps, strided, shared_var, tracked)
    if found is not None and running_mean is not None and running_var is not None:
        update_from_batch(found, input, gm, running_mean, running_var, momentum, strided, shared_var, running)
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
    uneven: Uneven = "error",
    ghost_first: bool = False,
) -> Tensor:
    """Normalize each sample over ``gc`` groups of channels, then each channel over ``gm`` groups of samples.

    The first half has no affine parameters, because the second half would undo a scale per channel. The running
    statistics are those of the GhostNorm half's input, which normalizes with them in evaluation; the GroupNorm half
    always uses the sample itself.

    Args:
        input: ``(M, C)`` or ``(M, C, *spatial)``.
        gc: the paper's G_C; must divide C. A tensor may hold 0, for no GroupNorm half.
        gm: the paper's G_M, as in :func:`ghost_norm`.
        weight, bias, running_mean, running_var, training, momentum, eps: as in :func:`ghost_norm`.
        strided, shared_var, running, uneven: as in :func:`ghost_norm`.
        ghost_first: whether the GhostNorm half comes first (paper A.4).

    Returns:
        A tensor with the shape, dtype and memory layout of ``input``.

    Raises:
        InvalidGroups: if ``gc`` does not divide the channels, or as :func:`ghost_norm`.
    """
    check_shape_and_dtype(input)
    check_convention(running)
    check_uneven(uneven)
    gc, gm = as_count(gc, "gc"), as_count(gm, "gm")
    if isinstance(gc, int):
        check_channel_groups(input.shape[1], gc)
        check_channel_group_size(input, gc)
    if training and isinstance(gm, int):
        gm = groups_of_batch(input.shape[0], positions(input), gm, uneven)
    if not training:
        require_running_statistics(running_mean, running_var)
    if input.shape[0] == 0:
        return scale_and_shift_nothing(input, weight, bias)
    tracked = running_mean is not None and running_var is not None
    found: Statistics | None = None
    if has_one_position(input) and isinstance(gc, int) and isinstance(gm, int):
        # every row is one value, and two passes cost less than a chain
        output = input if ghost_first else group_norm(input, gc, eps=eps)
        ghost_affine = (None, None) if ghost_first else (weight, bias)
        if training:
            output, found = normalize_groups(output, gm, *ghost_affine, eps, strided, shared_var, tracked)
        else:
            output = evaluate(output, *require_running_statistics(running_mean, running_var), *ghost_affine, eps)
        if ghost_first:
            output = group_norm(output, gc, weight=weight, bias=bias, eps=eps)
    else:
        sample_groups: Step
        if not training:
            sample_groups = FixedStatistics(*require_running_statistics(running_mean, running_var))
        else:
            sample_groups = sample_step(input, gm, eps, strided, shared_var)
        over_channels = channel_step(input, gc, eps)
        steps = [sample_groups, over_channels] if ghost_first else [over_channels, sample_groups]
        output, statistics = normalize(input, steps, weight, bias, eps)
        found = statistics[0 if ghost_first else 1] if training else None
    if found is not None and running_mean is not None and running_var is not None:
        update_from_batch(found, input, gm, running_mean, running_var, momentum, strided, shared_var, running)
    return output


def evaluate(
    input: Tensor, mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """Normalize every sample with the given statistics, as torch's BatchNorm does in evaluation."""
    mean, var = to_statistics_dtype(input, mean), to_statistics_dtype(input, var)
    weight, bias = (None if tensor is None else to_statistics_dtype(input, tensor) for tensor in (weight, bias))
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
    """Normalize groups of samples; also return their statistics if ``tracked``."""
    if isinstance(gm, int) and not shared_var and eps > 0 and is_fast_in_batch_norm(input, gm):
        return batch_norm_groups(input, gm, weight, bias, eps, strided, tracked)
    output, (found,) = normalize(input, [sample_step(input, gm, eps, strided, shared_var)], weight, bias, eps)
    return output, found


#: values per group of a fully connected layer from which a loop over groups is faster than folding
MIN_LOOP_GROUP_SIZE = 2**15


def batch_norm_groups(
    input: Tensor, gm: int, weight: Tensor | None, bias: Tensor | None, eps: float, strided: bool, tracked: bool
) -> tuple[Tensor, Statistics | None]:
    """Normalize one group, or samples with one position, by torch's BatchNorm.

    With one position every row is one value, so the statistics of a chain would be as large as the input. Instead, M
    samples of C channels in gm groups are folded to M / gm samples of gm · C channels. This costs two copies of the
    activation if groups are consecutive; a loop over groups costs two calls per group.
    """
    M, C = input.shape[:2]
    weight, bias = (None if tensor is None else to_statistics_dtype(input, tensor) for tensor in (weight, bias))
    found = [input.new_zeros(gm, C, dtype=statistics_dtype(input.dtype)) for _ in range(2)] if tracked else None

    def batch_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, found: Sequence[Tensor] | None) -> Tensor:
        mean, var = found or (None, None)  # momentum 1 makes torch store the batch statistics there
        return F.batch_norm(x, mean, var, weight, bias, training=True, momentum=1.0, eps=eps)

    if gm == 1:
        output = batch_norm(input, weight, bias, [tensor[0] for tensor in found] if found else None)
    elif not strided and input.numel() >= gm * MIN_LOOP_GROUP_SIZE:
        group_statistics = [[tensor[g] for tensor in found] if found else None for g in range(gm)]
        chunks = zip(input.chunk(gm), group_statistics, strict=True)
        output = torch.cat([batch_norm(chunk, weight, bias, statistics) for chunk, statistics in chunks])
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
    """Return F, the number of spatial positions."""
    return prod(input.shape[2:])


def has_one_position(input: Tensor) -> bool:
    """Whether every row is one value and torch's own kernels are faster; under a compiler the fused chain is."""
    return positions(input) == 1 and not torch.compiler.is_compiling()


def is_fast_in_batch_norm(input: Tensor, gm: int) -> bool:
    """Whether to call torch's BatchNorm for one group, or for equal groups of rows that are one value."""
    return equals_batch_norm(input, gm) or (has_one_position(input) and input.shape[0] % gm == 0)


def equals_batch_norm(input: Tensor, gm: int) -> bool:
    """Whether to call torch's BatchNorm: one group, eager, and a memory layout that it keeps.

    Compiled, it is less accurate than the chain, and slower.
    """
    return gm == 1 and not torch.compiler.is_compiling() and (input.dim() != 3 or input.is_contiguous())


def channel_step(input: Tensor, gc: int | Tensor, eps: float) -> Step:
    """Return the step of the GroupNorm half."""
    M, C = input.shape[:2]
    return (
        Groups.over_channels(M, C, gc) if isinstance(gc, int) else TensorGroups.assign(C, gc, eps, over_channels=True)
    )


def sample_step(input: Tensor, gm: int | Tensor, eps: float, strided: bool, shared_var: bool) -> Step:
    """Return the step of the GhostNorm half in training."""
    M, C = input.shape[:2]
    if isinstance(gm, int):
        if M % gm == 0:
            return Groups.over_samples(M, C, gm, strided, shared_var)
        gm = torch.full((), gm, device=input.device)  # groups of unequal size: once an epoch, so speed matters less
    return TensorGroups.assign(M, gm, eps, over_channels=False, strided=strided, shared_var=shared_var)


def require_running_statistics(running_mean: Tensor | None, running_var: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the running statistics.

    Raises:
        ValueError: if they are None.
    """
    if running_mean is None or running_var is None:
        raise ValueError(
            "GhostNorm evaluates with running statistics: got none. "
            "Pass running_mean and running_var, or call with training=True."
        )
    return running_mean, running_var


def update_from_batch(
    found: Statistics,
    input: Tensor,
    gm: int | Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    momentum: float | Tensor,
    strided: bool,
    shared_var: bool,
    running: Convention,
) -> None:
    """Update the running statistics with those of this batch."""
    if running == "sequential" and not isinstance(gm, int):
        raise ValueError("running='sequential' needs gm as an int: got a tensor. Use within or pooled.")
    M, C = input.shape[:2]
    in_channel = M * positions(input)
    mean = found.mean.flatten(0, -2)
    var = found.var.flatten(0, -2).expand_as(mean)
    # the statistics of unequal groups are those of every sample's group; a group of average size gives Bessel's
    # correction of their pooled variance
    values: float | Tensor = in_channel / (gm if isinstance(gm, int) else gm.to(mean.dtype))
    if running == "sequential" and isinstance(gm, int) and M % gm:
        first, sizes = unequal_groups(M, gm, strided)
        mean, var = mean[first], var[first]
        values = torch.tensor(sizes, dtype=mean.dtype, device=mean.device).unsqueeze(1) * positions(input)
    update_running_statistics(
        running_mean,
        running_var,
        mean,
        var,
        values=values * (C if shared_var else 1),
        batch_values=in_channel * (C if shared_var else 1),
        momentum=momentum,
        shared_var=shared_var,
        convention=running,
    )


def to_statistics_dtype(input: Tensor, tensor: Tensor) -> Tensor:
    """Convert to the dtype in which statistics of ``input`` are computed."""
    return tensor.to(statistics_dtype(input.dtype))


def scale_and_shift_nothing(input: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """Return a batch of no samples, from which the affine parameters get a gradient of zeros, as torch's BatchNorm."""
    return scale_and_shift(input.clone(), weight, bias).to(input.dtype)


def scale_and_shift(input: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """Apply the affine parameters, one of each per channel, to ``(M, C, *spatial)``."""
    shape = (-1, *[1] * (input.dim() - 2))
    if weight is not None:
        input = input * weight.view(shape)
    return input if bias is None else input + bias.view(shape)
