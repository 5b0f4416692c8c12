"""Learning curves."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from search.plan.selection import Point
from search.plan.stages import Replicate
from search.store import queries
from search.store.queries.curves import MAX_CURVES, MAX_EPOCHS
from search.vocabulary.outcome import Outcome
from search.vocabulary.states import Cause
from tests.search.stored import open_recorder, submit


def test_learning_curves_take_the_seeds_of_a_point_together(database_url: str) -> None:
    search_id = submit(database_url)
    recorder = open_recorder(database_url, search_id)
    recorder.open(recorder._plan.build_stage("gm", []))
    for seed, values in enumerate(([0.2, 0.4], [0.4, 0.8], [0.6, float("nan")])):
        trial_id = recorder.start(Replicate("gm", Point("main", 2, 0), seed))
        recorder.report(trial_id, {epoch: {"validation_accuracy": value} for epoch, value in enumerate(values, 1)})
    lost = recorder.start(Replicate("gm", Point("main", 2, 0), 0))
    recorder.report(lost, {1: {"validation_accuracy": 0.9}})
    recorder.finish(lost, Outcome(cause=Cause.LOST))
    with recorder.engine.begin() as connection:
        (curve,) = queries.learning_curves(connection, search_id, "gm")
        assert queries.learning_curves(connection, search_id, "gc") == []
    assert (curve.variant, curve.gm, curve.gc) == ("main", 2, 0)
    assert curve.mean == pytest.approx((0.4, 0.6))
    assert (curve.epoch, curve.low, curve.high, curve.n) == ((1, 2), (0.2, 0.4), (0.6, 0.8), (3, 2))


def test_of_many_points_the_curves_of_those_that_run_and_of_the_best_are_read(database_url: str) -> None:
    variants = {f"v{number:02}": {} for number in range(MAX_CURVES + 4)}
    search_id = submit(database_url, strategy="grid", gm=[8], gc=[4], seeds=3, variants=variants)
    recorder = open_recorder(database_url, search_id)
    recorder.open(recorder._plan.build_stage("grid", []))

    def train_one(variant: str, seed: int, value: float, *, to_its_end: bool = True) -> None:
        trial_id = recorder.start(Replicate("grid", Point(variant, 8, 4), seed))
        recorder.report(trial_id, {1: {"validation_accuracy": value}})
        if to_its_end:
            recorder.finish(trial_id, Outcome(value=value))

    for rank, variant in enumerate(variants):
        train_one(variant, 0, 0.9 - rank / 100)
    train_one("v19", 1, 0.5, to_its_end=False)  # the worst
    with recorder.engine.begin() as connection:
        curves = queries.learning_curves(connection, search_id, "grid")
    assert [curve.variant for curve in curves] == [*list(variants)[: MAX_CURVES - 1], "v19"]
    running = curves[-1]
    assert (running.n, running.low, running.high) == ((2,), (0.5,), (pytest.approx(0.71),))


def test_of_very_many_epochs_a_curve_has_as_many_as_a_line_can_with_the_last(database_url: str) -> None:
    search_id = submit(database_url)
    recorder = open_recorder(database_url, search_id)
    recorder.open(recorder._plan.build_stage("gm", []))
    trial_id = recorder.start(Replicate("gm", Point("main", 2, 0), 0))
    epochs = 2 * MAX_EPOCHS + 3
    write = "INSERT INTO trial_intermediate_values (trial_id, step, intermediate_value, intermediate_value_type) "
    rows = [{"step": step, "value": step / epochs} for step in range(1, epochs + 1)]
    with recorder.engine.begin() as connection:
        connection.execute(text(write + f"VALUES ({trial_id}, :step, :value, 'FINITE')"), rows)
        (curve,) = queries.learning_curves(connection, search_id, "gm")
    assert curve.epoch == tuple(range(3, epochs + 1, 3))
    assert curve.mean[-1] == 1.0
