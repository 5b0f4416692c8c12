"""RandAugment of a batch, bit for bit with torchvision's arithmetic."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from trainers.augment.operations import OPERATIONS, Tables

Change = Callable[[Tensor, Tensor, Tables], Tensor]  # of images (N, C, H, W) uint8 and their rows (N,) of the tables


def randaugment(pixels: Tensor, operations: Tensor, negative: Tensor, tables: Tables) -> Tensor:
    """Apply operations (N, n), indices of OPERATIONS, with their signs (N, n), one after another to uint8 images."""
    for operation, sign in zip(operations.unbind(1), negative.unbind(1), strict=True):
        row = 2 * operation + sign
        for change, names in _CHANGES.items():
            selected = torch.stack([operation == OPERATIONS.index(name) for name in names]).any(dim=0)
            pixels = _where(selected, change, pixels, row, tables)
    return pixels


def _where(selected: Tensor, change: Change, pixels: Tensor, row: Tensor, tables: Tables) -> Tensor:
    """Apply ``change`` to the ``selected`` (N,) images."""
    if _sync_is_slow(pixels.device):  # counting the selected would synchronize, so change all and select
        return torch.where(selected[:, None, None, None], change(pixels, row, tables), pixels)
    chosen = selected.nonzero()[:, 0]
    return pixels.index_copy(0, chosen, change(pixels[chosen], row[chosen], tables))


def _sync_is_slow(device: torch.device) -> bool:
    return device.type != "cpu"


def _move(pixels: Tensor, row: Tensor, tables: Tables) -> Tensor:
    """Apply an affine map to the nearest pixels; zero outside the image."""
    flat = pixels.flatten(2)
    source = tables.source[row][:, None].expand(flat.shape)
    return flat.gather(2, source).mul_(tables.inside[row]).view(pixels.shape)


def _map(pixels: Tensor, row: Tensor, tables: Tables) -> Tensor:
    """Apply a lookup table of grey levels to every channel."""
    return tables.lookup[row].gather(1, pixels.flatten(1).long()).view(pixels.shape)


def _change_contrast(pixels: Tensor, row: Tensor, tables: Tables) -> Tensor:
    return _mix(pixels, _gray(pixels).mean(dim=(1, 2, 3), keepdim=True), row, tables)


def _change_color(pixels: Tensor, row: Tensor, tables: Tables) -> Tensor:
    if pixels.shape[1] == 1:
        return pixels
    return _mix(pixels, _gray(pixels), row, tables)


def _change_sharpness(pixels: Tensor, row: Tensor, tables: Tables) -> Tensor:
    if min(pixels.shape[2:]) <= 2:
        return pixels
    levels = pixels.float()
    across = levels[..., :-2] + levels[..., 1:-1] + levels[..., 2:]
    wrap = across[..., :-2, :] + across[..., 1:-1, :] + across[..., 2:, :]
    blurred = levels.clone()  # edges are unchanged
    blurred[..., 1:-1, 1:-1] = wrap.add_(levels[..., 1:-1, 1:-1], alpha=4).div_(13).round_()
    return _mix(pixels, blurred, row, tables)


def _mix(pixels: Tensor, other: Tensor, row: Tensor, tables: Tables) -> Tensor:
    """Blend images with ``other`` (N, 1 or C, 1 or H, 1 or W) by the tables' factors."""
    # not addcmul, which rounds once instead of twice: a difference of one level for nearly whole sums
    mixup_batch = pixels.float().mul_(tables.factor[row]).add_(other * tables.rest[row])
    return mixup_batch.clamp_(0, 255).to(torch.uint8)


def _gray(pixels: Tensor) -> Tensor:
    """Return grey images (N, 1, H, W), whole numbers in float32."""
    if pixels.shape[1] == 1:
        return pixels.float()
    red, green, blue = pixels.float().unbind(1)
    return (red * 0.2989).add_(green * 0.587).add_(blue * 0.114).floor_()[:, None]


def _stretch(pixels: Tensor, row: Tensor, tables: Tables) -> Tensor:
    """Stretch each channel to 0..255; a constant channel is unchanged."""
    low, high = (extreme(pixels, dim=(2, 3), keepdim=True).float() for extreme in (torch.amin, torch.amax))
    low, scale = low.masked_fill(low == high, 0), (255 / (high - low)).masked_fill_(low == high, 1)
    return (pixels - low).mul_(scale).clamp_(0, 255).to(torch.uint8)


def _equalize(pixels: Tensor, row: Tensor, tables: Tables) -> Tensor:
    """Equalize each channel's histogram; a channel with hardly more than one level is unchanged."""
    index = pixels.flatten(2).long()  # (N, C, H·W)
    counts = torch.zeros((*index.shape[:2], 256), dtype=torch.int32, device=index.device)
    counts.scatter_add_(2, index, counts.new_ones((1, 1, 1)).expand(index.shape))
    brightest_count = counts.gather(2, index.amax(dim=2, keepdim=True))
    step = (index.shape[2] - brightest_count) // 255  # (N, C, 1)
    below = counts.cumsum(2, dtype=torch.int32) - counts
    ranks = ((below + step // 2) // step.clamp(min=1)).clamp_(max=255)
    levels = torch.arange(256, dtype=torch.int32, device=index.device)
    lookup = torch.where(step > 0, ranks, levels).to(torch.uint8)  # (N, C, 256)
    return lookup.gather(2, index).view(pixels.shape)


_CHANGES: dict[Change, tuple[str, ...]] = {
    _move: ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"),
    _map: ("Brightness", "Posterize", "Solarize"),
    _change_contrast: ("Contrast",),
    _change_color: ("Color",),
    _change_sharpness: ("Sharpness",),
    _stretch: ("AutoContrast",),
    _equalize: ("Equalize",),
}
