"""What a search would cost, before it is submitted."""

from __future__ import annotations

from typing import Any

import pytest

from search.actions.estimate import estimate
from search.actions.submit import prepare
from search.plan.strategies import STRATEGIES
from search.settings import Settings
from search.vocabulary.errors import InvalidSpec

FIELDS: dict[str, Any] = {"recipe": "planted", "gm": [1, 2, 4, 8, 16], "gc": [1, 2, 4], "seeds": 3, "test_seeds": 2}


def test_trials_are_counted_by_stage_beside_those_of_the_other_strategy(settings: Settings) -> None:
    plan = estimate(settings, FIELDS)
    assert dict(plan.stages) == {"gm": 15, "gc": 9, "test": 8}
    assert (plan.strategy, plan.trials, plan.sequential) == ("sequential", 32, 32)
    grid = estimate(settings, {**FIELDS, "strategy": "grid"})
    assert (grid.strategy, grid.trials, grid.sequential) == ("grid", grid.grid, 32)
    assert grid.trials == sum(grid.stages.values()) > 15 * 3


def test_the_trials_of_every_strategy_are_counted(settings: Settings) -> None:
    totals = estimate(settings, FIELDS).totals
    assert totals.keys() == STRATEGIES.keys()
    assert (totals["sequential"], totals["grid"]) == (32, 5 * 3 * 3 + 3 * 2)


def test_a_grid_is_priced_with_the_ghostnorm_that_a_sequence_trains_anyway(settings: Settings) -> None:
    assert (
        estimate(settings, {**FIELDS, "gc": [0, 1, 2, 4], "strategy": "grid"}).sequential
        == estimate(settings, FIELDS).trials
    )


def test_a_group_count_that_cannot_be_trained_is_listed_with_the_reason_and_not_refused(settings: Settings) -> None:
    plan = estimate(settings, {**FIELDS, "gm": [1, 3], "gc": [1, 5]})
    assert [refused.value for refused in plan.refused] == ["gm=3", "gc=5"]
    assert plan.refused[0].reason.startswith("gm must divide the batch: got gm=3 for 64 samples.")


def test_data_that_are_not_here_are_refused_with_the_reason(settings: Settings) -> None:
    fields = {"recipe": "images", "gm": [1], "gc": [2]}
    (refused,) = estimate(settings, fields).refused
    with pytest.raises(InvalidSpec) as caught:
        prepare(settings, fields)
    assert (refused.value, refused.reason) == ("data", str(caught.value))


@pytest.mark.parametrize(("seconds", "total"), [(None, None), (2.5, 80.0)])
def test_the_time_of_all_trials_is_told_where_that_of_one_is_known(
    settings: Settings, seconds: float | None, total: float | None
) -> None:
    assert estimate(settings, FIELDS, seconds).seconds == total


def test_trials_of_stage_test_take_as_much_longer_as_they_have_more_epochs(settings: Settings) -> None:
    fields = {**FIELDS, "numbers": {"epochs": 50}, "test_numbers": {"epochs": 250}}
    assert estimate(settings, fields, 2.0).seconds == 2.0 * (15 + 9 + 5 * 8)


@pytest.mark.parametrize("fields", [{"recipe": "nosuch"}, {"seeds": 0}, {"numbers": {"epoch": 3}}])
def test_anything_else_that_is_wrong_is_refused(settings: Settings, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidSpec):
        estimate(settings, {**FIELDS, **fields})
