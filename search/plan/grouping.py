"""Which group counts a search can train: gm divides the batch, gc every normalized width; gm=0 is GroupNorm alone.

A check computes what depends on the recipe's numbers alone once, for all values: a request may name 64 variants with
512 values each.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Callable, Collection, Sequence
from typing import Any

from search.plan.strategies import list_sweeps
from trainers.groups import divisors, group_norm_error, real_groups, share_of_batch
from trainers.recipe import Recipe, RecipeError

GroupCheck = Callable[[int], str | None]  #: returns why a value is refused; None if it is not
MAX_SHOWN = 12  # values or widths in a message


def gm_error(gm: int, numbers: Any) -> str | None:
    """Return why a recipe's batch cannot be split into gm groups; None if it can."""
    return gm_check(numbers)(gm)


def gc_error(gc: int, numbers: Any, recipe: Recipe, strategy: str) -> str | None:
    """Return why gc does not divide the normalized widths; None if it does, or if only torch can tell."""
    return gc_check(numbers, recipe, strategy)(gc)


def gm_check(numbers: Any, gcs: Collection[int] = ()) -> GroupCheck:
    """Return the check of gm for a recipe's numbers. A command may have no batch; then only its layers know it.

    Args:
        numbers: of the recipe.
        gcs: the values of gc that gm is tried with; without them gm=0 is refused as any value below 1.
    """
    above_0 = _check_above_0(numbers)
    if not gcs:
        return above_0
    return lambda gm: above_0(gm) if gm else group_norm_error(max(gcs), numbers)


def _check_above_0(numbers: Any) -> GroupCheck:
    batch, devices = getattr(numbers, "batch", None), getattr(numbers, "devices", 1)
    smallest = getattr(numbers, "min_group", 1)
    if batch is None:
        return lambda gm: None if gm >= 1 else f"gm must be at least 1: got gm={gm}. Leave it out."
    try:
        per_device = share_of_batch(batch, devices=devices)
    except RecipeError as error:
        reason = str(error)
        return lambda gm: reason
    real_devices, passes = getattr(numbers, "real_devices", 1), getattr(numbers, "accumulate", 1)
    shares = real_devices * passes
    of_batch = f" per device (batch {batch} / {devices})" if devices > 1 else ""
    where = f"{per_device} samples{of_batch}"

    def check(gm: int) -> str | None:
        if gm < 1 or per_device % gm:
            near = ", ".join(map(str, _nearest(gm, divisors(per_device))))
            return f"gm must divide the batch: got gm={gm} for {where}. Use a divisor, e.g. {near}."
        if gm * devices % shares:
            try:
                real_groups(gm, devices, real_devices, passes)
            except RecipeError as error:
                return str(error)
        if (size := per_device // gm) >= smallest:
            return None
        largest = per_device // smallest
        use = f"Use gm up to {largest}" if largest else "Use a larger batch (--set batch=…)"
        allow = f", or allow it with --set min_group={size}" if size > 1 else ""
        return (
            f"groups must hold at least min_group={smallest} samples: "
            f"got gm={gm}, groups of {size} of {where}. {use}{allow}."
        )

    return check


def gc_check(numbers: Any, recipe: Recipe, strategy: str, *, gc_first: bool = False) -> GroupCheck:
    """Return the check of gc for a recipe's numbers; ``gc_first`` if gc is tuned before gm."""
    first, *later = list_sweeps(strategy)
    takes_0 = "gc" in {axis.name for axis in first.axes}
    compared = "stage test measures BatchNorm beside the choice"
    if later and not gc_first:
        compared = f"stage {first.stage} trains gc=0, and stage {later[0].stage} shows its winner as the reference"
    smallest_group = 1 if recipe.spatial else 2  # one channel at one position has no variance
    distinct = list(dict.fromkeys(recipe.widths(numbers) or ()))
    common, narrowest = math.gcd(*distinct), min(distinct, default=0)

    def check(gc: int) -> str | None:
        if gc == 0 and not takes_0:
            return f"gc of a {strategy} search starts at 1: got gc=0. Leave it out: {compared}."
        if gc == 0 or not distinct or (common % gc == 0 and narrowest // gc >= smallest_group):
            return None
        allowed = [str(each) for each in divisors(common) if narrowest // each >= smallest_group][:MAX_SHOWN]
        shown = [*map(str, distinct[:MAX_SHOWN]), *(["…"] if len(distinct) > MAX_SHOWN else [])]
        return (
            "gc must divide every normalized width"
            f"{' into groups of 2 or more' if smallest_group == 2 else ''}: "
            f"got gc={gc} for widths {', '.join(shown)}. Use {', '.join(allowed)}."
        )

    return check


def _nearest(value: int, found: Sequence[int], most: int = 3) -> list[int]:
    """Return the numbers of an ordered sequence that are nearest to a value, in order."""
    position = bisect(found, value)
    around = found[max(0, position - most) : position + most]
    return sorted(sorted(around, key=lambda each: abs(each - value))[:most])
