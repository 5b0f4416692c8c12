"""The axes of a search, and the sweeps that a strategy builds from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod

from search.plan.naming import Value, replace_value
from search.plan.selection import POINT, Point, Rule
from search.vocabulary.norms import Norm

GROUPS = ("gm", "gc")  # the axes that are fields of :class:`Point`; the others are in the name of its variant


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A parameter of a search with the values to try."""

    name: str  #: ``gm``, ``gc``, ``variant``, or a number of the recipe
    values: tuple[Value, ...]
    rule: Rule  #: chooses one of the values
    start: Value  #: the value before this axis is tuned

    def place(self, point: Point, value: Value) -> Point:
        """Return a point with another value of this axis."""
        if self.name in GROUPS:
            return Point(point.variant, **{"gm": point.gm, "gc": point.gc, self.name: int(value)})
        return replace(point, variant=replace_value(point.variant, self.name, value))

    def read(self, point: Point) -> Value:
        """Return the value that a point has on this axis."""
        if self.name in GROUPS:
            return int(getattr(point, self.name))
        return next((value for value in self.values if self.place(point, value) == point), self.start)


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
        combinations = list(product(*(axis.values for axis in self.axes)))
        points = (self._place(base, values) for base in bases for values in combinations)
        return tuple(point for point in points if point.norm != Norm.NONE)

    def _place(self, point: Point, values: Iterable[Value]) -> Point:
        variant, groups = point.variant, {"gm": point.gm, "gc": point.gc}
        for axis, value in zip(self.axes, values, strict=True):
            if axis.name in GROUPS:
                groups[axis.name] = int(value)
            else:
                variant = replace_value(variant, axis.name, value)
        return Point(variant, **groups)

    @property
    def num_points(self) -> int:
        """The number of points for each base point."""
        further = prod(len(axis.values) for axis in self.axes if axis.name not in GROUPS)
        gm, gc = self._values("gm"), self._values("gc")
        return further * (len(gm) * len(gc) - gm.count(0) * gc.count(0))

    @property
    def num_norms(self) -> int:
        """The number of kinds of norm among the points, at most GhostNorm, SeqNorm and GroupNorm."""
        kinds = {Norm.of(gm, gc) for gm in {*map(bool, self._values("gm"))} for gc in {*map(bool, self._values("gc"))}}
        return len(kinds - {Norm.NONE})

    def _values(self, name: str) -> tuple[Value, ...]:
        """Return the values of an axis, or any above 0 if it is not tuned here."""
        return next((axis.values for axis in self.axes if axis.name == name), (1,))


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """How the axes of a search are tuned."""

    name: str
    summary: str  #: for help and forms
    make_sweeps: Callable[[Sequence[Axis]], tuple[Sweep, ...]]  #: returns the tuning stages, in order
