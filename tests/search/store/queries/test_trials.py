"""Trials are paged, sorted, filtered and shown with every attempt."""

from __future__ import annotations

import pytest

from search.plan.selection import Point
from search.plan.stages import Replicate
from search.store import queries
from search.store.database import open_engine
from search.views import TrialRow
from search.vocabulary.errors import NotFound
from search.vocabulary.outcome import Outcome
from search.vocabulary.states import Cause
from tests.search.stored import finished_search, open_recorder, submit, train


def test_trials_are_paged_in_the_order_they_started(database_url: str) -> None:
    search_id = finished_search(database_url)
    engine = open_engine(database_url, read_only=True)
    with engine.connect() as connection:
        first = queries.list_trials(connection, search_id, limit=20)
        second = queries.list_trials(connection, search_id, after=first[-1].trial_id, limit=20)
        only_gc = queries.list_trials(connection, search_id, stage="gc")
    assert (len(first), len(second), len(only_gc)) == (20, 16, 9)
    row = first[0]
    assert (row.stage, row.number, row.variant, row.gm, row.gc, row.seed) == ("gm", 0, "main", 1, 0, 0)
    assert (row.state, row.cause, row.detail, row.where, row.reused_from) == ("COMPLETE", "finished", "", None, None)
    assert (row.gm_total, row.group_size, row.epoch) == (1, 64, 1)


@pytest.mark.parametrize("sort", ["value", "-value"])
def test_trials_are_sorted_by_value_across_pages(database_url: str, sort: str) -> None:
    search_id = submit(database_url)
    recorder = open_recorder(database_url, search_id)
    train(recorder, search_id, stop_after=30)
    recorder.finish(recorder.start(Replicate("gm", Point("main", 1, 0), 9)), Outcome(cause=Cause.RAISED, detail="x"))
    engine = open_engine(database_url, read_only=True)
    rows: list[TrialRow] = []
    with engine.connect() as connection:
        while page := queries.list_trials(
            connection, search_id, sort=sort, after=rows[-1].trial_id if rows else 0, limit=7
        ):
            rows += page
    values = [row.value for row in rows]
    assert values[-1] is None
    assert values[:-1] == sorted(values[:-1], reverse=sort == "-value")
    assert len({row.trial_id for row in rows}) == 31


def test_trials_are_filtered_by_point(database_url: str) -> None:
    search_id = finished_search(database_url)
    engine = open_engine(database_url, read_only=True)
    with engine.connect() as connection:
        rows = queries.list_trials(connection, search_id, gm=8, gc=4)
    assert {(row.gm, row.gc) for row in rows} == {(8, 4)}
    assert len(rows) == 6


def test_a_trial_is_shown_with_every_attempt_at_its_point_and_seed(database_url: str) -> None:
    search_id = submit(database_url)
    recorder = open_recorder(database_url, search_id)
    recorder.open(recorder._plan.build_stage("gm", []))
    for gm, seed, outcome in (
        (1, 0, Outcome(cause=Cause.LOST)),
        (1, 1, Outcome(value=0.5)),
        (1, 0, Outcome(value=0.6)),
    ):
        recorder.finish(recorder.start(Replicate("gm", Point("main", gm, 0), seed)), outcome)
    with recorder.engine.begin() as connection:
        shown = queries.show_trial(connection, search_id, "gm", 2)
        with pytest.raises(NotFound, match="got gm and 3"):
            queries.show_trial(connection, search_id, "gm", 3)
    assert [(row.number, row.cause) for row in shown.attempts] == [(0, "lost"), (2, "finished")]
