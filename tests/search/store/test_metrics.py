"""Figures by epoch."""

from __future__ import annotations

from search.plan import Replicate
from search.selection import Point
from search.store import queries
from tests.search.engine import open_recorder, submit


def test_metrics_keep_what_json_has_no_number_for(database_url: str) -> None:
    search_id = submit(database_url)
    recorder = open_recorder(database_url, search_id)
    recorder.open(recorder._plan.stage("gm", []))
    trial_id = recorder.start(Replicate("gm", Point("main", 1, 0), 0))
    recorder.report(trial_id, {1: {"train_loss": float("inf"), "validation_accuracy": 0.25}})
    with recorder.engine.begin() as connection:
        shown = queries.show_trial(connection, search_id, "gm", 0)
    assert shown["trial_id"] == trial_id
    assert shown["figures"] == [{"epoch": 1, "train_loss": "inf", "validation_accuracy": 0.25}]
