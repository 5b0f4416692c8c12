"""Trials lie in Optuna's tables as Optuna itself would have written them."""

from __future__ import annotations

import optuna

from search.plan.selection import Point
from tests.search.stored import finished_search, show


def test_stock_optuna_opens_every_study(database_url: str) -> None:
    search_id = finished_search(database_url)
    for stage, count in (("gm", 15), ("gc", 9), ("test", 12)):
        study = optuna.load_study(study_name=f"{search_id}/{stage}", storage=database_url)
        assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * count
        trial = study.trials[0]
        assert set(trial.params) == {"gm", "gc", "seed"}
        assert trial.user_attrs["group_size"] in (None, 64 // max(1, trial.params["gm"]))
        assert trial.intermediate_values == {1: trial.value}
        assert study.direction.name == "MAXIMIZE"


def test_a_loss_is_minimised(database_url: str) -> None:
    search_id = finished_search(database_url, recipe="planted-loss")
    shown = show(database_url, search_id)
    assert shown.chosen == Point("main", 8, 4)
    assert "gc=4 has the lowest mean" in shown.stages[1].sentence
    assert optuna.load_study(study_name=f"{search_id}/gc", storage=database_url).direction.name == "MINIMIZE"
