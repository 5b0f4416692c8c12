"""Training batches that gm does not divide, such as the last of an epoch without ``drop_last=True``.

- ``error`` (the default): refused.
- ``unequal``: gm groups whose sizes differ by at most one, as with gm given as a tensor. If a group would hold a single
  value, fewer groups.
- ``single``: one group, the whole batch.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, get_args

from seqnorm.checks import InvalidGroups, check_sample_groups

Uneven = Literal["error", "unequal", "single"]
UNEVEN: tuple[str, ...] = get_args(Uneven)


def check_uneven(uneven: str) -> None:
    """Check the name of what to do with such batches.

    Raises:
        ValueError: listing the names.
    """
    if uneven not in UNEVEN:
        raise ValueError(f"uneven must be one of {', '.join(UNEVEN)}: got {uneven!r}. Use error, the default.")


def groups_of_batch(num_samples: int, num_positions: int, gm: int, uneven: Uneven) -> int:
    """Return the number of groups of a training batch; asked again with its answer, it gives the same.

    A batch of no samples has nothing to normalize and is not refused, nor does torch's BatchNorm refuse it.

    Raises:
        InvalidGroups: if the batch cannot be normalized with ``gm`` groups and ``uneven``.
    """
    if gm >= 1 and num_samples == 0:
        return gm
    smallest = 2 if num_positions == 1 else 1  # samples of a group
    if gm >= 1 and uneven != "error" and (num_samples % gm or num_samples // gm < smallest):
        gm = 1 if uneven == "single" else max(1, min(gm, num_samples // smallest))
        if num_samples >= smallest:
            return gm
    elif gm >= 1 and num_samples % gm:
        raise InvalidGroups(
            f"gm must divide the batch: got gm={gm} for {num_samples} samples. "
            "Drop the last incomplete batch (drop_last=True), choose a divisor, "
            "or allow such batches with uneven='unequal' or uneven='single'."
        )
    check_sample_groups(num_samples, num_positions, gm)
    return gm


def unequal_groups(num_samples: int, gm: int, strided: bool) -> tuple[list[int], list[int]]:
    """Return the first sample and the size of every group, as :meth:`seqnorm.chain.TensorGroups.assign` forms them."""
    if strided:
        return list(range(gm)), [len(range(group, num_samples, gm)) for group in range(gm)]
    bounds = [-(-group * num_samples // gm) for group in range(gm + 1)]
    return bounds[:-1], [end - start for start, end in pairwise(bounds)]
