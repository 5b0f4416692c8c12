"""Crop, flip and Cutout of a batch: one gather and one product."""

from __future__ import annotations

import torch
from torch import Tensor


def shift_flip_and_cut(inputs: Tensor, *, shift: Tensor, flip: Tensor, centre: Tensor, side: int) -> Tensor:
    """Shift images (N, C, H, W) by whole pixels, then mirror, then cut out a square; missing pixels are zero.

    ``shift`` (N, 2) is the source row and column of the upper left corner, which may lie outside the image; ``flip``
    (N,) is bool; ``centre`` (N, 2) is the centre of a square of ``side`` pixels, clipped at the edges.
    """
    images, channels, height, width = inputs.shape
    row, column = (torch.arange(size, device=inputs.device) for size in (height, width))
    mirrored = torch.where(flip[:, None], width - 1 - column, column)
    from_row, from_column = row + shift[:, :1], mirrored + shift[:, 1:]  # (N, H), (N, W)
    zero = _outside(from_row, height)[:, :, None] | _outside(from_column, width)[:, None]  # (N, H, W)
    if side:
        zero |= _in_square(row, centre[:, :1], side)[:, :, None] & _in_square(column, centre[:, 1:], side)[:, None]
    source = from_row.clamp(0, height - 1)[:, :, None] * width + from_column.clamp(0, width - 1)[:, None]

    # a product: inputs are finite, and on a CPU masked_fill_ takes seven times as long
    source, kept = source.flatten(1), zero.logical_not_().flatten(1).to(inputs.dtype)  # (N, H·W)
    if inputs.is_contiguous() or not inputs.is_contiguous(memory_format=torch.channels_last):
        moved = inputs.flatten(2).gather(2, source[:, None].expand(-1, channels, -1))
        return moved.mul_(kept[:, None]).view(inputs.shape)
    moved = inputs.permute(0, 2, 3, 1).flatten(1, 2).gather(1, source[:, :, None].expand(-1, -1, channels))
    return moved.mul_(kept[:, :, None]).view(images, height, width, channels).permute(0, 3, 1, 2)


def _outside(index: Tensor, size: int) -> Tensor:
    return (index < 0) | (index >= size)


def _in_square(index: Tensor, centre: Tensor, side: int) -> Tensor:
    """Return (N, size) bool: the rows or columns that the square covers; like Cubuk's for an even side."""
    first = centre - side // 2
    return (index >= first) & (index < first + side)
