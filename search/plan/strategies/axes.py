"""What is tuned: the axes of a search, and the sweeps over them that a strategy makes of its stages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any

from search.plan.selection import POINT, Point, Rule


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One parameter of a search, with what to try of it."""

    name: str  #: of a point's field, e.g. ``gm``
    values: tuple[int, ...]
    rule: Rule  #: chooses among the values
    start: int  #: what a point has of it until it is tuned


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What a tuning stage tries: every combination of its axes' values; all else stays as the stage before left it."""

    stage: str  #: name
    axes: tuple[Axis, ...]
    rule: Rule  #: chooses among the points

    @property
    def axis(self) -> str:
        """The parameter that is tuned; ``point`` where there are several."""
        return self.axes[0].name if len(self.axes) == 1 else POINT

    def points(self, bases: Iterable[Point]) -> tuple[Point, ...]:
        """Return what to train on top of some points."""
        names = [axis.name for axis in self.axes]
        combinations: list[dict[str, Any]] = [
            dict(zip(names, values, strict=True)) for values in product(*(axis.values for axis in self.axes))
        ]
        return tuple(replace(base, **values) for base in bases for values in combinations)

    @property
    def num_points(self) -> int:
        """How many points there are on top of one."""
        return prod(len(axis.values) for axis in self.axes)

    @property
    def num_norms(self) -> int:
        """How many kinds of norm there are among the points: GhostNorm (gc = 0) and SeqNorm are the two."""
        return next((len({bool(gc) for gc in axis.values}) for axis in self.axes if axis.name == "gc"), 1)


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """How the axes of a search are visited."""

    name: str
    summary: str  #: for help and forms
    make_sweeps: Callable[[Sequence[Axis]], tuple[Sweep, ...]]  #: returns the tuning stages, in order
