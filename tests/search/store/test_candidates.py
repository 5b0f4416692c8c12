"""The projection that pages read."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from search.plan.selection import Mode, Point, summarize
from search.settings import Settings
from search.store import candidates as projection
from search.store.database import open_engine
from tests.search.stored import finished_search, open_recorder, submit, train


def test_the_projection_can_be_made_anew_from_the_trials(database_url: str) -> None:
    search_id = submit(database_url)
    train(open_recorder(database_url, search_id, lease_seconds=-1), search_id, stop_after=12)
    engine = open_engine(database_url)
    with engine.connect() as connection:
        kept = projection.read_candidates(connection, search_id)["gm"]
    with engine.begin() as connection:
        connection.execute(text("UPDATE candidates SET mean = 0, n = 99"))
    recorder = open_recorder(database_url, search_id)
    recorder.open(recorder._plan.build_stage("gm", []))
    with engine.connect() as connection:
        assert projection.read_candidates(connection, search_id)["gm"] == kept


def test_candidates_of_an_older_store_learn_their_finished_trials(database_url: str) -> None:
    search_id = finished_search(database_url, gm=[1, 2], gc=[1], seeds=2)
    engine = open_engine(database_url)
    with engine.begin() as connection:
        kept = {stage: projection.read_finished(connection, search_id, stage) for stage in ("gm", "gc", "test")}
        connection.execute(text("UPDATE candidates SET finished = NULL"))
        assert projection.read_finished(connection, search_id, "gm")[Point("main", 1, 0)] == []
        projection.backfill_finished(connection)
        assert {stage: projection.read_finished(connection, search_id, stage) for stage in kept} == kept
        values = [value for _, _, value in kept["gm"][Point("main", 1, 0)]]
        (shown, *_) = projection.read_candidates(connection, search_id)["gm"]
    assert shown.mean == pytest.approx(sum(values) / 2)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([], None),
        ([0.5], [0.5] * 5),
        ([3.0, 1.0], [1.0, 1.5, 2.0, 2.5, 3.0]),
        ([5.0, 1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0, 5.0]),
    ],
)
def test_quartiles_go_from_the_lowest_to_the_highest(values: list[float], found: list[float] | None) -> None:
    assert projection.compute_quartiles(values) == found


def test_a_candidate_is_kept_in_place_of_what_was_kept_before(settings: Settings) -> None:
    search_id = submit(settings.database_url)
    point = Point("main", 8, 0)
    with open_engine(settings.database_url).begin() as connection:
        for finished in ([(1, 0, 0.5)], [(1, 0, 0.5), (2, 1, 0.7)]):
            values = [value for *_, value in finished]
            projection.save(connection, search_id, "gm", summarize(point, values, failed=1), finished)
        assert projection.read_candidates(connection, search_id) == {"gm": [summarize(point, [0.5, 0.7], failed=1)]}
        assert projection.read_point(connection, search_id, "gm", point) == [(1, 0, 0.5), (2, 1, 0.7)]
        assert projection.count_ended(connection, search_id) == {"gm": 3}
        assert projection.read_candidates(connection, search_id, without=["gm"]) == {}


@pytest.mark.parametrize(("mode", "best"), [("max", [4, 2]), ("min", [1, 2])])
def test_the_finished_trials_of_the_best_points_are_read(settings: Settings, mode: Mode, best: list[int]) -> None:
    search_id = submit(settings.database_url)
    with open_engine(settings.database_url).begin() as connection:
        for gm, value in ((1, 0.1), (2, 0.2), (4, 0.4), (8, None)):
            values = [] if value is None else [value]
            candidate = summarize(Point("main", gm, 0), values, failed=value is None)
            projection.save(connection, search_id, "gm", candidate, [(gm, 0, each) for each in values])
        found = projection.read_finished(connection, search_id, "gm", best=2, mode=mode)
        points = [Point("main", gm, 0) for gm in (2, 8)]
        boxes = projection.read_quartiles(connection, search_id, "gm", points)
    assert {point.gm for point in found} == set(best)
    assert boxes == {points[0]: (0.2,) * 5}
