"""Strategies by name. To add one, add a file here and an entry in ``STRATEGIES``."""

from __future__ import annotations

from search.plan.strategies.axes import Axis, Strategy, Sweep
from search.plan.strategies.grid import GRID
from search.plan.strategies.sequential import SEQUENTIAL

STRATEGIES = {strategy.name: strategy for strategy in (SEQUENTIAL, GRID)}


def list_sweeps(strategy: str) -> tuple[Sweep, ...]:
    """Return the sweeps of a strategy, without values."""
    axes = [Axis(name=name, values=(), rule="best-mean", start=0) for name in ("gm", "gc")]
    return STRATEGIES[strategy].make_sweeps(axes)


__all__ = ["STRATEGIES", "Axis", "Strategy", "Sweep", "list_sweeps"]
