"""Strategies by name. To add one, add a file here and an entry in ``STRATEGIES``."""

from search.plan.strategies.axes import Axis, Strategy, Sweep
from search.plan.strategies.grid import GRID
from search.plan.strategies.sequential import SEQUENTIAL

STRATEGIES = {strategy.name: strategy for strategy in (SEQUENTIAL, GRID)}

__all__ = ["STRATEGIES", "Axis", "Strategy", "Sweep"]
