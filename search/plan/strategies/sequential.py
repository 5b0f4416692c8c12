"""The paper's strategy (section 3.2): tunes one axis after another, each starting from the previous winner."""

from __future__ import annotations

from collections.abc import Sequence

from search.plan.strategies.axes import Axis, Strategy, Sweep


def make_sweeps(axes: Sequence[Axis]) -> tuple[Sweep, ...]:
    """Sweep one axis at a time: Θ(G_M + G_C) trials."""
    return tuple(Sweep(stage=axis.name, axes=(axis,), rule=axis.rule) for axis in axes)


SEQUENTIAL = Strategy(name="sequential", summary="gm, then gc with gm fixed", make_sweeps=make_sweeps)
