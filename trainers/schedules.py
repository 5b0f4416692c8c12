"""Learning-rate schedules: pure functions of the step, counted from 0."""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[int], float]


def constant(rate: float) -> Schedule:
    """Return ``rate`` at every step."""
    return lambda step: rate


def linear(start: float, end: float, share: float) -> float:
    """Interpolate: ``start`` at share 0, ``end`` at share 1."""
    return start + (end - start) * share


def cosine(rate: float, share: float) -> float:
    """Cosine annealing: ``rate`` at share 0, 0 at share 1."""
    return 0.5 * rate * (1 + math.cos(math.pi * share))


def warmup_cosine(start: float, peak: float, warmup: int, steps: int) -> Schedule:
    """Rise linearly from ``start`` to ``peak`` over ``warmup`` steps, then fall to 0 by a cosine (paper A.3).

    Step ``warmup`` has the rate ``peak``; the rate reaches 0 at step ``steps``, which is past the last step.
    """

    def rate(step: int) -> float:
        if step < warmup:
            return linear(start, peak, step / warmup)
        return cosine(peak, (step - warmup) / max(1, steps - warmup))

    return rate


def one_cycle(low: float, high: float, floor: float, up: int, down: int, steps: int) -> Schedule:
    """Go linearly from ``low`` to ``high`` in ``up`` steps, back in ``down``, then to ``floor`` (paper A.2)."""

    def rate(step: int) -> float:
        if step < up:
            return linear(low, high, step / up)
        if step < up + down:
            return linear(high, low, (step - up) / down)
        return linear(low, floor, (step - up - down) / max(1, steps - up - down))

    return rate


def epoch_cosine(peak: float, warmup: int, epochs: int, steps_per_epoch: int) -> Schedule:
    """Constant within each epoch e: ``peak · (e + 1) / warmup``, then a cosine to 0 (NVIDIA's recipe; paper A.3)."""

    def rate(step: int) -> float:
        epoch = step // steps_per_epoch
        if epoch < warmup:
            return peak * (epoch + 1) / warmup
        return cosine(peak, (epoch - warmup) / max(1, epochs - warmup))

    return rate
