"""Tries every combination of values in one stage; the rule of gc chooses."""

from __future__ import annotations

from collections.abc import Sequence

from search.plan.strategies.axes import Axis, Strategy, Sweep


def make_sweeps(axes: Sequence[Axis]) -> tuple[Sweep, ...]:
    """Sweep the product of all axes: Θ(G_M · G_C) trials."""
    rule = next(axis.rule for axis in axes if axis.name == "gc")
    return (Sweep(stage="grid", axes=tuple(axes), rule=rule),)


GRID = Strategy(name="grid", summary="every pair", make_sweeps=make_sweeps)
