"""The projection that pages read."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from search.selection import Point
from search.store import candidates as projection
from search.store.database import open_engine
from tests.search.engine import finished_search, open_recorder, submit, train


def test_the_projection_can_be_made_anew_from_the_trials(database_url: str) -> None:
    search_id = submit(database_url)
    train(open_recorder(database_url, search_id, lease_seconds=-1), search_id, stop_after=12)
    engine = open_engine(database_url)
    with engine.connect() as connection:
        kept = projection.read(connection, search_id)["gm"]
    with engine.begin() as connection:
        connection.execute(text("UPDATE candidates SET mean = 0, n = 99"))
    recorder = open_recorder(database_url, search_id)
    recorder.open(recorder._plan.stage("gm", []))
    with engine.connect() as connection:
        assert projection.read(connection, search_id)["gm"] == kept


def test_candidates_of_an_older_store_learn_their_finished_trials(database_url: str) -> None:
    search_id = finished_search(database_url, gm=[1, 2], gc=[1], seeds=2)
    engine = open_engine(database_url)
    with engine.begin() as connection:
        kept = {stage: projection.read_finished(connection, search_id, stage) for stage in ("gm", "gc", "test")}
        connection.execute(text("UPDATE candidates SET finished = NULL"))
        assert projection.read_finished(connection, search_id, "gm")[Point("main", 1, 0)] == []
        projection.fill(connection)
        assert {stage: projection.read_finished(connection, search_id, stage) for stage in kept} == kept
        values = [value for _, _, value in kept["gm"][Point("main", 1, 0)]]
        (shown, *_) = projection.read(connection, search_id)["gm"]
    assert shown.mean == pytest.approx(sum(values) / 2)
