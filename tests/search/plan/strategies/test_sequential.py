"""The paper's strategy."""

from search.plan.strategies.sequential import make_sweeps
from tests.search.plan.strategies.axes import GC, GM


def test_axes_are_tuned_in_turn_each_by_its_own_rule() -> None:
    assert [(sweep.stage, sweep.axes, sweep.rule) for sweep in make_sweeps((GM, GC))] == [
        ("gm", (GM,), "largest-stable"),
        ("gc", (GC,), "best-mean"),
    ]
