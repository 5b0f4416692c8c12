"""Passes over an activation: the only functions that read or write all of its values.

A row is the F values of one sample in one channel. A channels-first activation is viewed as ``(M, C, F)``, a
channels-last one as ``(M, F, C)``. ``axis`` is the position of F.

On a CPU the passes work on blocks that fit a core's L2 cache: every eager operation reads its operands, and reading a
block from the cache is cheaper than reading the whole activation from memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

import torch
from torch import Tensor

# Shape legend: M samples, C channels, F positions in space.

# Half and double of this were up to 10 % slower (2 MiB of L2 per core).
BLOCK_SIZE = 2**17  #: values per thread and block

MIN_FUSED_SAMPLE = (
    2**15
)  #: numbers of a sample from which asking torch's BatchNorm for its statistics is worth the call

LONG_ROW = 4096  #: positions up to which vector_norm gives the variance to 4e-7; at 1,500 × 1,500 its error is 7e-5


def as_rows(input: Tensor) -> tuple[Tensor, int]:
    """View ``(M, C, *spatial)`` as rows in its own memory layout; return the rows and the axis of F."""
    channels_last = input.movedim(1, -1)
    if not input.is_contiguous() and channels_last.is_contiguous():
        return channels_last.flatten(1, -2), 1
    return input.contiguous().flatten(2), 2


def rows_like(tensor: Tensor, axis: int) -> Tensor:
    """View ``(M, C, *spatial)`` as rows with F at ``axis``; copies if the memory layout differs."""
    return tensor.movedim(1, -1).flatten(1, -2).contiguous() if axis == 1 else tensor.flatten(2).contiguous()


def empty_rows(rows: Tensor, axis: int, shape: torch.Size) -> tuple[Tensor, Tensor]:
    """Allocate ``(M, C, *spatial)`` in the memory layout of ``rows``; return it and its view as rows."""
    if axis == 2:
        output = rows.new_empty(shape)
        return output, output.view(rows.shape)
    strides = torch.empty(shape[0], *shape[2:], shape[1], device="meta").movedim(-1, 1).stride()
    output = torch.empty_strided(shape, strides, dtype=rows.dtype, device=rows.device)
    return output, output.movedim(1, -1).view(rows.shape)


def statistics_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype in which statistics are computed: at least float32."""
    return torch.promote_types(dtype, torch.float32)


def centre(rows: Tensor, axis: int, centred: Tensor) -> tuple[Tensor, Tensor]:
    """Return each row's mean and biased variance, ``(M, C)``, and write the centred rows to ``centred``.

    The variance is computed from the centred row, because E[x²] − E[x]² cancels if the mean is large.
    ``torch.var_mean`` computes the same in one call, but takes 2 to 20 times as long on a CPU.
    :func:`affine` continues from ``centred``, which stays unwritten if :func:`fused`.
    """
    dtype, positions = centred.dtype, rows.shape[axis]
    if fused(rows, axis):
        # torch's BatchNorm statistics, one sample at a time: two passes instead of four
        images = rows.unsqueeze(2).permute(0, 3, 1, 2)  # (M, C, F, 1), which torch recognizes as channels_last
        statistics = [torch.batch_norm_update_stats(image, None, None, 0.0) for image in images.split(1)]
        return torch.stack([mean for mean, _ in statistics]), torch.stack([var for _, var in statistics])
    mean = rows.new_empty(rows.shape[0], rows.shape[3 - axis], dtype=dtype)
    var = torch.empty_like(mean)
    for x, y, mean_, var_, work in blocks(rows, centred, mean, var, scratch(rows)):
        torch.sum(x, axis, dtype=dtype, out=mean_).div_(positions)  # torch.mean multiplies by a rounded 1 / F
        torch.sub(x, mean_.unsqueeze(axis), out=y)
        if axis == 2 and positions <= LONG_ROW:
            torch.linalg.vector_norm(y, dim=2, out=var_).square_()
        else:  # vector_norm adds one by one: inaccurate for long rows, slow for strided ones
            torch.sum(torch.mul(y, y, out=work), axis, out=var_)
    return mean, var.div_(positions)


def affine(rows: Tensor, axis: int, mean: Tensor, scale: Tensor, offset: Tensor, centred: Tensor) -> None:
    """Turn the result of :func:`centre` into ``scale · (x − mean) + offset`` in place; all three are ``(M, C)``."""
    if fused(rows, axis):  # nothing is centred yet; torch's BatchNorm does the same in this layout
        torch.addcmul(torch.addcmul(offset, mean, scale, value=-1).unsqueeze(1), rows, scale.unsqueeze(1), out=centred)
        return
    scale, offset = scale.unsqueeze(axis), offset.unsqueeze(axis)
    if axis == 1:
        torch.addcmul(offset, centred, scale, out=centred)
    else:  # addcmul is not vectorized if scale and offset broadcast along the last dimension
        for y, a, b in blocks(centred, scale, offset):
            y.mul_(a).add_(b)


def fused(rows: Tensor, axis: int) -> bool:
    """Whether torch's BatchNorm statistics, one sample at a time, are faster than sums over blocks."""
    _, positions, channels = rows.shape
    large = positions <= LONG_ROW and positions * channels >= MIN_FUSED_SAMPLE
    return axis == 1 and rows.is_cpu and rows.dtype in (torch.float32, torch.float64) and large


def inner_products(gradient: Tensor, rows: Tensor, axis: int, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Return Σ dy and Σ dy · (x − mean) of each row, ``(M, C)``."""
    if axis == 2 and rows.is_cpu and rows.dtype == mean.dtype:
        # torch's BatchNorm backward over one sample with M · C channels computes both sums in one pass
        one = torch.ones_like(mean).view(-1)
        _, product, total = torch.ops.aten.native_batch_norm_backward(
            one_sample(gradient), one_sample(rows), one, None, None, mean.view(-1), one, True, 0.0, (False, True, True)
        )
        return total.view_as(mean), product.view_as(mean)
    total = torch.empty_like(mean)
    product = torch.empty_like(mean)
    for dy, x, total_, product_, work in blocks(gradient, rows, total, product, scratch(rows)):
        torch.sum(dy, axis, dtype=mean.dtype, out=total_)
        torch.sum(torch.mul(dy, x, out=work), axis, out=product_)
    return total, product.addcmul_(mean, total, value=-1)


def combine(
    gradient: Tensor, rows: Tensor, axis: int, scale: Tensor, slope: Tensor, shift: Tensor, output: Tensor
) -> None:
    """Write ``scale · dy + slope · x + shift`` for each row; the three coefficients are ``(M, C)``."""
    coefficients = (coefficient.unsqueeze(axis) for coefficient in (scale, slope, shift))
    for dy, x, a, k, s, dx in blocks(gradient, rows, *coefficients, output):
        if dx.dtype != scale.dtype:
            torch.addcmul(torch.addcmul(s, x, k), dy, a, out=dx)
        elif axis == 1:
            torch.addcmul(s, x, k, out=dx).addcmul_(dy, a)
        else:
            torch.mul(x, k, out=dx).addcmul_(dy, a).add_(s)


def one_sample(rows: Tensor) -> Tensor:
    """View ``(M, C, F)`` as one sample with M · C channels."""
    return rows.view(1, -1, rows.shape[2])


def blocks(rows: Tensor, *others: Tensor) -> Iterable[tuple[Tensor, ...]]:
    """Split tensors into runs of samples; a tensor with fewer samples is reused for every run."""
    samples = block_samples(rows)
    if samples >= rows.shape[0]:
        return [(rows, *others)]
    runs = [tensor.split(samples) for tensor in (rows, *others)]
    repeats, last = len(runs[0]) - 1, len(runs[0][-1])
    return zip(*(run if len(run) > 1 else (run[0],) * repeats + (run[0][:last],) for run in runs), strict=True)


def block_samples(rows: Tensor) -> int:
    """Return the number of samples in a block."""
    if not rows.is_cpu:
        return rows.shape[0]
    return max(1, BLOCK_SIZE * torch.get_num_threads() // prod(rows.shape[1:]))


def scratch(rows: Tensor) -> Tensor:
    """Allocate a work buffer for one block in the dtype of statistics."""
    return torch.empty_like(rows[: block_samples(rows)], dtype=statistics_dtype(rows.dtype))
