"""The arithmetic of groups: what gm means on other numbers of devices, who can share a batch. Standard library only."""

from __future__ import annotations

import math

from trainers.recipe import RecipeError


def share_of_batch(batch: int, **parts: int) -> int:
    """Return the samples that each part of a batch has.

    Args:
        batch: samples of a step.
        parts: into how many it is divided, by what divides it: ``devices=8``, or ``real_devices=2, accumulate=4``.

    Raises:
        RecipeError: if they cannot share it evenly.
    """
    share, rest = divmod(batch, math.prod(parts.values()))
    if rest:
        raise RecipeError(
            f"the batch must divide over {' × '.join(parts)}: got batch={batch} over "
            f"{' × '.join(map(str, parts.values()))}. Choose a multiple (--set batch=…)."
        )
    return share


def real_groups(gm: int, devices: int, real_devices: int = 1, accumulate: int = 1) -> int:
    """Return the groups that each real device forms in a pass, so that their size is the paper's.

    The paper counts gm per device: gm 2 on 8 devices is 16 groups over the batch, so one device forms all 16. A pass
    of several that a gradient is accumulated over counts as a device: it sees its own share of the batch.

    Raises:
        RecipeError: if the groups cannot be shared out evenly.
    """
    groups, rest = divmod(gm * devices, real_devices * accumulate)
    if rest:
        least = real_devices * accumulate // math.gcd(devices, real_devices * accumulate)
        raise RecipeError(
            f"gm × devices must divide over real_devices × accumulate: got {gm} × {devices} over "
            f"{real_devices} × {accumulate}. Use gm up from {least}, or fewer real_devices or passes."
        )
    return groups
