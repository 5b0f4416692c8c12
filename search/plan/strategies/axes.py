"""The axes of a search, and the sweeps that a strategy builds from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from search.plan.selection import POINT, Point, Rule


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A parameter of a search with the values to try."""

    name: str  #: a field of :class:`Point`, e.g. ``gm``
    values: tuple[int, ...]
    rule: Rule  #: chooses one of the values
    start: int  #: the value before this axis is tuned


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What a tuning stage tries: every combination of its axes' values, on top of the previous winner."""

    stage: str  #: its name
    axes: tuple[Axis, ...]
    rule: Rule  #: chooses one of the points

    @property
    def axis(self) -> str:
        """The parameter that is tuned; ``point`` if there are several."""
        return self.axes[0].name if len(self.axes) == 1 else POINT

    def points(self, bases: Iterable[Point]) -> tuple[Point, ...]:
        """Return the points to train, starting from ``bases``."""
        names = [axis.name for axis in self.axes]
        combinations: list[dict[str, Any]] = [
            dict(zip(names, values, strict=True)) for values in product(*(axis.values for axis in self.axes))
        ]
        return tuple(Point(**{**vars(base), **values}) for base in bases for values in combinations)

    @property
    def num_points(self) -> int:
        """The number of points for each base point."""
        return prod(len(axis.values) for axis in self.axes)

    @property
    def num_norms(self) -> int:
        """The number of kinds of norm among the points: GhostNorm (gc = 0), SeqNorm, or both."""
        return next((len({bool(gc) for gc in axis.values}) for axis in self.axes if axis.name == "gc"), 1)


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """How the axes of a search are tuned."""

    name: str
    summary: str  #: for help and forms
    make_sweeps: Callable[[Sequence[Axis]], tuple[Sweep, ...]]  #: returns the tuning stages, in order
