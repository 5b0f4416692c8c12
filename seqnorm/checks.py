"""Argument checks. Each error states the rule, the received value and the remedy."""

from __future__ import annotations

from operator import index

from torch import Tensor

from seqnorm.running import CONVENTIONS


class InvalidGroups(ValueError):
    """gm or gc do not fit the batch or the channels, or leave groups too small.

    A search recognizes it by its name, and puts the point out.
    """

    ends_conversion: bool = False  #: whether ``convert`` raises it instead of keeping the BatchNorm


def check_input(input: Tensor, num_channels: int) -> None:
    """Check the input's width, number of dimensions and dtype.

    Raises:
        ValueError: if the input is not a floating tensor ``(M, num_channels, *spatial)``.
    """
    if input.dim() < 2 or input.shape[1] != num_channels or not input.is_floating_point():
        raise ValueError(
            f"input must be a floating tensor (M, {num_channels}, *spatial): "
            f"got {tuple(input.shape)} of {input.dtype}. Set num_channels to the width of the layer before."
        )


def check_shape_and_dtype(input: Tensor) -> None:
    """Check that the input has channels and positions, and a floating dtype.

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


def as_int(count: int, name: str) -> int:
    """Return a number of groups as an int; accepts NumPy integers.

    Raises:
        ValueError: if it is not a whole number.
    """
    try:
        return index(count)
    except TypeError:
        raise ValueError(f"{name} must be a whole number: got {count!r}. Pass an int, e.g. {name}=4.") from None


def as_count(count: int | Tensor, name: str) -> int | Tensor:
    """Return a number of groups as an int; a tensor is returned unchanged.

    Raises:
        ValueError: if it is neither a tensor nor a whole number.
    """
    return count if isinstance(count, Tensor) else as_int(count, name)


def check_eps_and_momentum(eps: float, momentum: float | None) -> None:
    """Check that eps and momentum are in range.

    Raises:
        ValueError: naming the number.
    """
    if not 0 <= eps < float("inf"):
        raise ValueError(f"eps must be 0 or more, and finite: got {eps}. Use 1e-5, the default.")
    if momentum is not None and not 0 <= momentum <= 1:
        raise ValueError(f"momentum must be from 0 to 1, or None: got {momentum}. Use 0.1, the default.")


def check_sigma(sigma: float) -> None:
    """Check that the noise of a layer is in range.

    Raises:
        ValueError: naming the number.
    """
    if not 0 <= sigma < float("inf"):
        raise ValueError(f"sigma must be 0 or more, and finite: got {sigma}. The paper's best is 3e-4.")


def check_sample_groups(num_samples: int, num_positions: int, gm: int) -> None:
    """Check that gm divides the batch and each group holds at least two values.

    Raises:
        InvalidGroups: naming the numbers.
    """
    if gm < 1:
        raise InvalidGroups(f"gm must be at least 1: got {gm}. Use 1 for one group, the whole batch.")
    if num_samples == 0 or num_samples % gm:
        raise InvalidGroups(
            f"gm must divide the batch: got gm={gm} for {num_samples} samples. "
            "Drop the last incomplete batch (drop_last=True) or choose a divisor."
        )
    if num_samples // gm * num_positions < 2:
        remedy = "Choose a smaller gm" if gm > 1 else "Pass a larger batch"
        raise InvalidGroups(
            f"a group needs at least 2 values per channel: got {num_samples // gm} sample × {num_positions} position "
            f"with gm={gm} for {num_samples} samples. {remedy}."
        )


def check_channel_groups(num_channels: int, gc: int) -> None:
    """Check that gc divides the channels.

    Raises:
        InvalidGroups: naming the numbers.
    """
    if gc < 1 or num_channels % gc:
        raise InvalidGroups(
            f"gc must divide the channels: got gc={gc} for {num_channels} channels. "
            "Choose a divisor, or use GhostNorm for no GroupNorm half."
        )


def check_channel_group_size(input: Tensor, gc: int) -> None:
    """Check that each group of channels holds at least two values.

    Raises:
        InvalidGroups: naming the numbers.
    """
    if input.shape[1:].numel() == gc:
        raise InvalidGroups(
            f"a group of channels needs at least 2 values: got gc={gc} for input {tuple(input.shape)}. "
            "Choose a smaller gc, or normalize an input with more than one position in space."
        )


def check_convention(running: str) -> None:
    """Check the name of a running-statistics convention.

    Raises:
        ValueError: listing the conventions.
    """
    if running not in CONVENTIONS:
        raise ValueError(f"running must be one of {', '.join(CONVENTIONS)}: got {running!r}. Use within, the default.")
