"""Surfaces of accuracy over gm and gc with known values: planted ones, and random smooth ones.

The unit is the standard deviation of a seed. Constants of rules are fixed on the planted surfaces; the random ones were
written beforehand and are run once, on the final constants.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

GM = (1, 2, 4, 8, 16, 32)  # six values; accuracies depend on their position alone
GC = (0, 1, 2, 4, 8, 16)  # none, and five values
GAPS = (2.0, 1.0, 0.5)  # between neighbours
SHAPES = ("peaked", "plateau", "monotone", "fall", "null", "interaction +2", "interaction -2", "heteroscedastic")
RANDOM = "random smooth"


@dataclass(frozen=True)
class Surface:
    """The true accuracy and the standard deviation of a seed at each point."""

    accuracy: dict[tuple[int, int], float]  #: by gm and gc
    std: dict[int, float]  #: by gm

    @property
    def best(self) -> float:
        """The best accuracy with GroupNorm on."""
        return max(value for (_, gc), value in self.accuracy.items() if gc)

    def regret(self, gm: int, gc: int) -> float:
        """Return what is lost at a point."""
        return self.best - self.accuracy[gm, gc]


def plant(shape: str, gap: float, chance: random.Random) -> Surface:
    """Plant a surface of a shape, with its optimum anywhere."""
    p, q = chance.randrange(len(GM)), chance.randrange(1, len(GC))
    shift = {"interaction +2": 2, "interaction -2": -2}.get(shape, 0)

    def of_gm(i: int, optimum: int) -> float:
        return {
            "plateau": -3 * gap * max(0, i - p),
            "monotone": gap * i,
            "fall": -gap * i,
            "null": 0.0,
            "heteroscedastic": -2 * gap * max(0, i - p),
        }.get(shape, -gap * abs(i - optimum))

    def of_gc(j: int) -> float:
        return 0.0 if shape == "null" else 1.5 * gap - 0.7 * gap * abs(j - q)

    shifted = min(max(p + shift, 0), len(GM) - 1)
    accuracy = {
        (gm, gc): of_gm(i, shifted) + of_gc(j) if gc else of_gm(i, p)
        for i, gm in enumerate(GM)
        for j, gc in enumerate(GC)
    }
    noisy = shape == "heteroscedastic"
    return Surface(accuracy, {gm: 5.0 if noisy and i > p else 1.0 for i, gm in enumerate(GM)})


def draw(chance: random.Random) -> Surface:
    """Draw a smooth surface: a part of gm, a part of gc, and in half of the cases a part of both.

    Each is a cosine of at most three quarters of a wave, of 0.3 to 3 standard deviations of a seed. In half of the
    cases the standard deviation grows with gm, up to fivefold.
    """

    def wave() -> Callable[[float], float]:
        waves, phase = chance.uniform(0.1, 0.75), chance.uniform(0, 2 * math.pi)
        return lambda x: math.sqrt(2) * math.cos(2 * math.pi * waves * x + phase)

    def size() -> float:
        return math.exp(chance.uniform(math.log(0.3), math.log(3)))

    gm_wave, gc_wave, mixed_gm, mixed_gc = wave(), wave(), wave(), wave()
    gm_size, gc_size, mixed_size = size(), size(), size() if chance.random() < 0.5 else 0.0
    growth = chance.uniform(0, math.log(5)) if chance.random() < 0.5 else 0.0
    accuracy = {}
    for i, gm in enumerate(GM):
        x = i / (len(GM) - 1)
        accuracy[gm, 0] = gm_size * gm_wave(x)
        for j, gc in enumerate(GC[1:]):
            y = j / (len(GC) - 2)
            accuracy[gm, gc] = accuracy[gm, 0] + gc_size * gc_wave(y) + mixed_size * mixed_gm(x) * mixed_gc(y)
    return Surface(accuracy, {gm: math.exp(growth * i / (len(GM) - 1)) for i, gm in enumerate(GM)})


Draw = Callable[[random.Random], Surface]


def planted_surfaces() -> Iterator[tuple[str, Draw]]:
    """Yield the 24 planted kinds of surface: their shape, and what plants one."""
    for shape in SHAPES:
        for gap in GAPS:
            yield shape, lambda chance, shape=shape, gap=gap: plant(shape, gap, chance)  # type: ignore[misc]


def random_surfaces() -> Iterator[tuple[str, Draw]]:
    """Yield the kind of random smooth surfaces."""
    yield RANDOM, draw
