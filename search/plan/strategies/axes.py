"""The axes of a search, and the sweeps that a strategy builds from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from search.plan.selection import POINT, Point, Rule
from search.vocabulary.norms import Norm


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
        """Return the points to train, starting from ``bases``; gm = 0 with gc = 0, no normalization, is none."""
        names = [axis.name for axis in self.axes]
        combinations: list[dict[str, Any]] = [
            dict(zip(names, values, strict=True)) for values in product(*(axis.values for axis in self.axes))
        ]
        points = (Point(**{**vars(base), **values}) for base in bases for values in combinations)
        return tuple(point for point in points if point.norm != Norm.NONE)

    @property
    def num_points(self) -> int:
        """The number of points for each base point."""
        combinations = prod(len(axis.values) for axis in self.axes)
        return combinations - self._values("gm").count(0) * self._values("gc").count(0)

    @property
    def num_norms(self) -> int:
        """The number of kinds of norm among the points, at most GhostNorm, SeqNorm and GroupNorm."""
        kinds = {Norm.of(gm, gc) for gm in {*map(bool, self._values("gm"))} for gc in {*map(bool, self._values("gc"))}}
        return len(kinds - {Norm.NONE})

    def _values(self, name: str) -> tuple[int, ...]:
        """Return the values of an axis, or any above 0 if it is not tuned here."""
        return next((axis.values for axis in self.axes if axis.name == name), (1,))


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """How the axes of a search are tuned."""

    name: str
    summary: str  #: for help and forms
    make_sweeps: Callable[[Sequence[Axis]], tuple[Sweep, ...]]  #: returns the tuning stages, in order
