"""The arithmetic of groups: what gm means on other numbers of devices. Standard library only."""

from __future__ import annotations

from trainers.recipe import RecipeError


def real_groups(gm: int, devices: int, real_devices: int) -> int:
    """Return the groups that each real device forms, so that their size is the paper's.

    The paper counts gm per device: gm 2 on 8 devices is 16 groups over the batch, so one device forms all 16. A pass
    of several that a gradient is accumulated over counts as a device: it sees its own share of the batch.

    Raises:
        RecipeError: if the groups cannot be shared out evenly.
    """
    total = gm * devices
    if total % real_devices:
        raise RecipeError(
            f"gm × devices must divide evenly over the real devices: got {gm} × {devices} over {real_devices}. "
            "Use a number of devices that divides it."
        )
    return total // real_devices
