"""Which stage comes next: one pass over all axes, then checks, which tune them again at the values of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from search.plan.selection import Point, Rule
from search.plan.strategies.axes import Axis, Sweep

UNTIL_SETTLED = "until-settled"
MOST_CHECKS = 5  # of ``until-settled``


@dataclass(frozen=True)
class Decision:
    """What a decided stage passes on."""

    stage: str
    finalists: tuple[Point, ...]  #: the last one is its choice

    @property
    def base(self) -> Point:
        """The point that the next axis is tuned on."""
        return self.finalists[-1]


def list_checks(first_pass: Sequence[Sweep], rounds: int, rule: Rule | None) -> list[Sweep]:
    """Return the sweeps of all checks that there may be: ``gm-2`` and so on; none of a grid or of a single value."""
    if any(len(sweep.axes) > 1 for sweep in first_pass):
        return []
    tuned = [sweep for sweep in first_pass if sweep.num_points > 1]
    return [
        replace(sweep, stage=f"{sweep.stage}-{check}", rule=rule or sweep.rule)
        for check in range(2, rounds + 2)
        for sweep in tuned
    ]


def find_next(first_pass: Sequence[Sweep], checks: Sequence[Sweep], decisions: Sequence[Decision]) -> Sweep | None:
    """Return the sweep that follows from what was decided; None if nothing is left to tune.

    A check leaves out an axis if nothing else has changed since it was last tuned. So all ends with the first check
    that changes nothing, or with the last one.
    """
    if len(decisions) < len(first_pass):
        return first_pass[len(decisions)]
    tuned = {
        sweep.axes[0].name: _others(decision.base, sweep.axes[0])
        for sweep, decision in zip(first_pass, decisions, strict=False)
    }
    decided = {decision.stage: decision.base for decision in decisions[len(first_pass) :]}
    current = decisions[-1 - len(decided)].base
    for sweep in checks:
        axis = sweep.axes[0]
        if tuned[axis.name] == _others(current, axis):
            continue
        if sweep.stage not in decided:
            return sweep
        current = decided[sweep.stage]
        tuned[axis.name] = _others(current, axis)
    return None


def _others(point: Point, axis: Axis) -> Point:
    """Return what a point has besides its value of an axis."""
    return axis.place(point, axis.start)
