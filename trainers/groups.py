"""Group arithmetic: gm on other numbers of devices, and shares of a batch. Standard library only."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

from trainers.descriptors.numbers import TrainingNumbers
from trainers.recipe import RecipeError


def share_of_batch(batch: int, **parts: int) -> int:
    """Return the number of samples in each part of a batch.

    Args:
        batch: samples per step.
        parts: named divisors, e.g. ``devices=8``, or ``real_devices=2, accumulate=4``.

    Raises:
        RecipeError: if the batch does not divide evenly.
    """
    share, rest = divmod(batch, math.prod(parts.values()))
    if rest:
        raise RecipeError(
            f"the batch must divide over {' × '.join(parts)}: got batch={batch} over "
            f"{' × '.join(map(str, parts.values()))}. Choose a multiple (--set batch=…)."
        )
    return share


def real_groups(gm: int, devices: int, real_devices: int = 1, accumulate: int = 1) -> int:
    """Return the number of groups per real device and pass that keeps the paper's group size.

    The paper counts gm per device: gm 2 on 8 devices is 16 groups over the batch, so a single device forms all 16. With
    gradient accumulation each pass counts as a device, because it sees its own share of the batch.

    Raises:
        RecipeError: if the groups do not divide evenly.
    """
    groups, rest = divmod(gm * devices, real_devices * accumulate)
    if rest:
        least = real_devices * accumulate // math.gcd(devices, real_devices * accumulate)
        raise RecipeError(
            f"gm × devices must divide over real_devices × accumulate: got {gm} × {devices} over "
            f"{real_devices} × {accumulate}. Use gm up from {least}, or fewer real_devices or passes."
        )
    return groups


def group_norm_error(gc: int, numbers: Any) -> str | None:
    """Return why gm = 0 cannot be trained, which is GroupNorm alone (paper A.4); None if it can."""
    if gc < 1:
        return (
            f"gm=0 is GroupNorm alone, which needs groups of channels: got gm=0 where gc is {gc}. "
            "Give gc from 1; a search tries both together as a grid."
        )
    if isinstance(numbers, TrainingNumbers) and numbers.noise:  # other recipes mean something else by it
        return f"GroupNorm alone is trained without noise: got gm=0 and noise={numbers.noise}. Leave one of them out."
    return None


@lru_cache(maxsize=1024)
def divisors(of: int) -> tuple[int, ...]:
    """Return the divisors of a positive number, in order; kept, because a search asks for those of one batch often."""
    small = [divisor for divisor in range(1, math.isqrt(of) + 1) if of % divisor == 0]
    return tuple(sorted({*small, *(of // divisor for divisor in small)}))
