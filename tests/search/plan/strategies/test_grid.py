"""The product of all axes."""

from search.plan.strategies.grid import make_sweeps
from tests.search.plan.strategies.axes import GC, GM


def test_all_axes_are_tuned_together_by_the_rule_of_the_last() -> None:
    (sweep,) = make_sweeps((GM, GC))
    assert (sweep.stage, sweep.axes, sweep.rule) == ("grid", (GM, GC), "best-mean")
