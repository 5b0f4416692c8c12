"""Refusals: the rule, what was received, and what to do instead."""

from __future__ import annotations

from operator import index

from torch import Tensor

from seqnorm.running import CONVENTIONS


def check_input(input: Tensor, num_channels: int) -> None:
    """Refuse an input of another width or kind.

    Raises:
        ValueError: if the input is not a floating tensor ``(M, num_channels, *spatial)``.
    """
    if input.dim() < 2 or input.shape[1] != num_channels or not input.is_floating_point():
        raise ValueError(
            f"input must be a floating tensor (M, {num_channels}, *spatial): "
            f"got {tuple(input.shape)} of {input.dtype}. Set num_channels to the width of the layer before."
        )


def check_kind(input: Tensor) -> None:
    """Refuse what has no channels, no positions, or no fractions.

    Raises:
        ValueError: with the shape and dtype in it.
    """
    if input.dim() < 2 or not input.is_floating_point():
        raise ValueError(
            f"input must be a floating tensor (M, C, *spatial): got {tuple(input.shape)} of {input.dtype}. "
            "Convert it with .float(), or add the missing dimension."
        )
    if 0 in input.shape[1:]:
        raise ValueError(
            f"input must have channels and positions: got {tuple(input.shape)}. Check the layer before this one."
        )


def index_of(count: int, name: str) -> int:
    """Return a number of groups as an int; NumPy's integers are taken.

    Raises:
        ValueError: if it is no whole number.
    """
    try:
        return index(count)
    except TypeError:
        raise ValueError(f"{name} must be a whole number: got {count!r}. Pass an int, e.g. {name}=4.") from None


def whole(count: int | Tensor, name: str) -> int | Tensor:
    """Return a number of groups as an int, or the tensor that it is.

    Raises:
        ValueError: if it is neither a tensor nor a whole number.
    """
    return count if isinstance(count, Tensor) else index_of(count, name)


def check_numbers(eps: float, momentum: float | None) -> None:
    """Refuse numbers out of range.

    Raises:
        ValueError: with the number in it.
    """
    if not 0 <= eps < float("inf"):
        raise ValueError(f"eps must be 0 or more, and finite: got {eps}. Use 1e-5, the default.")
    if momentum is not None and not 0 <= momentum <= 1:
        raise ValueError(f"momentum must be from 0 to 1, or None: got {momentum}. Use 0.1, the default.")


def check_sample_groups(num_samples: int, num_positions: int, gm: int) -> None:
    """Refuse groups of samples that are uneven or hold a single value.

    Raises:
        ValueError: with the numbers in it.
    """
    if gm < 1 or num_samples == 0 or num_samples % gm:
        raise ValueError(
            f"gm must divide the batch: got gm={gm} for {num_samples} samples. "
            "Drop the last incomplete batch (drop_last=True) or choose a divisor."
        )
    if num_samples // gm * num_positions < 2:
        remedy = "Choose a smaller gm" if gm > 1 else "Pass a larger batch"
        raise ValueError(
            f"a group needs at least 2 values per channel: got {num_samples // gm} sample × {num_positions} position "
            f"with gm={gm} for {num_samples} samples. {remedy}."
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


def check_channel_group_values(input: Tensor, gc: int) -> None:
    """Refuse groups of channels that hold a single value.

    Raises:
        ValueError: with the numbers in it.
    """
    if input.shape[1:].numel() == gc:
        raise ValueError(
            f"a group of channels needs at least 2 values: got gc={gc} for input {tuple(input.shape)}. "
            "Choose a smaller gc, or normalize an input with more than one position in space."
        )


def check_convention(running: str) -> None:
    """Refuse an unknown way to keep running statistics.

    Raises:
        ValueError: with what there is.
    """
    if running not in CONVENTIONS:
        raise ValueError(f"running must be one of {', '.join(CONVENTIONS)}: got {running!r}. Use within, the default.")
