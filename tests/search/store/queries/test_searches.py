"""Lists of searches, and one search as it is shown."""

from __future__ import annotations

import statistics

import pytest
from planted import surface
from sqlalchemy import event, select, update

from search.plan.selection import Point
from search.settings import Settings
from search.store import progress, queries, transitions
from search.store.database import open_engine
from search.store.schema import upgrade
from search.store.tables import searches
from search.views import EpochProgress, TrialCounts
from search.vocabulary.errors import NotFound
from search.vocabulary.states import Status
from tests.search.stored import finished_search, open_recorder, show, submit, train


def test_a_finished_search_shows_the_planted_optimum(database_url: str) -> None:
    shown = show(database_url, finished_search(database_url))
    assert shown.status == "done"
    assert shown.chosen == Point("main", 8, 4)
    assert [stage.chosen.gm for stage in shown.stages] == [8, 8]
    assert shown.trials == TrialCounts(run=5 * 3 + 3 * 3 + 4 * 3, reused=0, failed=0, interrupted=0, running=0)
    assert {label for row in shown.test for label in row.labels} == {
        "BatchNorm", "chosen GhostNorm", "chosen SeqNorm", "no normalization",
    }  # fmt: skip


def test_groupnorm_alone_and_no_normalization_are_told_apart(database_url: str) -> None:
    fields = {"strategy": "grid", "gm": [0, 8], "gc": [0, 4], "seeds": 2, "test_seeds": 1}
    shown = show(database_url, finished_search(database_url, **fields))
    assert [(row.gm, row.gc) for row in shown.stages[0].candidates] == [(0, 4), (8, 0), (8, 4)]
    assert {(row.variant, row.gm, row.gc): row.labels for row in shown.test} == {
        ("none", 0, 0): ("no normalization",),
        ("main", 1, 0): ("BatchNorm",),
        ("main", 8, 0): ("chosen GhostNorm",),
        ("main", 0, 4): ("chosen GroupNorm",),
        ("main", 8, 4): ("chosen SeqNorm",),
    }


NOISY = {"noisy": {"noise": 0.004}, "noisier": {"noise": 0.008}}


def test_batchnorm_of_an_old_search_is_shown_with_the_numbers_that_it_was_trained_with(database_url: str) -> None:
    search_id = submit(database_url, gm=[8], gc=[4], seeds=1, test_seeds=1, variants=NOISY)
    engine = open_engine(database_url)
    with engine.begin() as connection:
        fields = connection.execute(select(searches.c.spec).where(searches.c.id == search_id)).scalar_one()
        del fields["baselines"], fields["baseline_variant"]
        connection.execute(update(searches).where(searches.c.id == search_id).values(spec=fields))
    train(open_recorder(database_url, search_id), search_id)
    labels = {row.point: row.labels for row in show(database_url, search_id).test}
    assert labels[Point("noisy", 1, 0)] == ("BatchNorm with noise=0.004",)
    assert labels[Point("none", 0, 0)] == ("no normalization with noise=0.004",)


def test_batchnorm_of_a_new_search_has_the_recipes_own_numbers(database_url: str) -> None:
    search_id = finished_search(database_url, gm=[8], gc=[4], seeds=1, test_seeds=1, variants=NOISY)
    labels = {row.point: row.labels for row in show(database_url, search_id).test}
    assert labels[Point("main", 1, 0)] == ("BatchNorm",)
    assert Point("noisy", 1, 0) not in labels


def test_candidates_are_the_statistics_of_their_replicates(database_url: str) -> None:
    shown = show(database_url, finished_search(database_url))
    values = [surface(8, 0, seed, 0.002) for seed in (0, 1, 2)]
    (candidate,) = [row for row in shown.stages[0].candidates if row.gm == 8]
    assert candidate.mean == pytest.approx(statistics.mean(values), abs=1e-12)
    assert candidate.std == pytest.approx(statistics.stdev(values), abs=1e-12)
    assert candidate.sem == pytest.approx(statistics.stdev(values) / 3**0.5, abs=1e-12)


def test_a_list_has_the_figures_of_the_chosen_candidate(database_url: str) -> None:
    shown = show(database_url, finished_search(database_url))
    submit(database_url)
    with open_engine(database_url, read_only=True).connect() as connection:
        undecided, row = queries.list_searches(connection)
    (chosen,) = [each for each in shown.stages[-1].candidates if each.chosen]
    assert (row.mean, row.std, row.sem, row.n, row.failed) == (chosen.mean, chosen.std, chosen.sem, 3, 0)
    assert (undecided.mean, undecided.sem, undecided.n, undecided.failed) == (None, None, 0, 0)


def test_searches_are_filtered(database_url: str) -> None:
    wanted = submit(database_url, name="100% of it")
    submit(database_url, name="1000 of it")
    submit(database_url, recipe="planted-loss")
    engine = open_engine(database_url, read_only=True)
    with engine.connect() as connection:
        assert [row.search for row in queries.list_searches(connection, name="100%")] == [wanted]
        assert len(queries.list_searches(connection, recipe="planted-loss")) == 1
        assert queries.list_searches(connection, status=Status.DONE) == []
        assert [row.search for row in queries.list_searches(connection, id=wanted[:9])] == [wanted]
        assert queries.list_searches(connection, id=f"%{wanted[1:]}") == []


def test_searches_are_paged_newest_first(database_url: str) -> None:
    ids = [submit(database_url, name=f"number {n}") for n in range(5)]
    engine = open_engine(database_url, read_only=True)
    with engine.connect() as connection:
        first = queries.list_searches(connection, limit=3)
        last = first[-1]
        second = queries.list_searches(connection, before=(last.created_at, last.search), limit=3)
    assert [row.search for row in [*first, *second]] == ids[::-1]


def test_the_number_of_queries_does_not_grow_with_the_trials(database_url: str) -> None:
    few, many = submit(database_url), submit(database_url)
    train(open_recorder(database_url, few), few, stop_after=3)
    train(open_recorder(database_url, many), many)
    engine = open_engine(database_url, read_only=True)
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    counts = []
    for search_id in (few, many):
        statements.clear()
        with engine.connect() as connection:
            queries.show_search(connection, search_id)
            queries.list_trials(connection, search_id, limit=500)
            queries.list_searches(connection)
        counts.append(len(statements))
    assert counts[0] == counts[1] < 25


def test_a_done_search_has_as_many_finished_trials_as_it_planned_where_points_coincide(database_url: str) -> None:
    finished_search(database_url, gm=[1], gc=[1])
    finished_search(database_url, strategy="grid", gm=[1, 8], gc=[0, 1])
    engine = open_engine(database_url, read_only=True)
    with engine.connect() as connection:
        rows = queries.list_searches(connection)
        shown = [queries.show_search(connection, row.search).progress for row in rows]
    for row, on_page in zip(rows, shown, strict=True):
        assert row.finished == row.planned == on_page.planned == on_page.finished


@pytest.mark.parametrize("predicted", [None, 900.0])
def test_a_list_and_a_page_tell_the_same_time_left(database_url: str, predicted: float | None) -> None:
    search_id = submit(database_url)
    recorder = open_recorder(database_url, search_id)
    train(recorder, search_id, stop_after=3)
    running = EpochProgress(low=1, high=1, planned=4, done=0.25, seconds_per_trial=predicted)
    with recorder.engine.begin() as connection:
        progress.save(connection, search_id, running if predicted else None)
        connection.execute(update(searches).values(started_at=searches.c.started_at - 1e6))  # it was paused meanwhile
        (row,) = queries.list_searches(connection)
    shown = show(database_url, search_id).progress
    assert shown.seconds_left is not None
    assert row.seconds_left == shown.seconds_left < 1e6
    if predicted:
        assert shown.seconds_left == predicted * (shown.planned - 3 - running.done) / (shown.slots or 1)
    with recorder.engine.begin() as connection:
        transitions.set_status(connection, search_id, Status.PAUSED, "")
        (row,) = queries.list_searches(connection)
    assert row.seconds_left is show(database_url, search_id).progress.seconds_left is None


def test_no_time_is_left_once_every_trial_has_ended(settings: Settings) -> None:
    search_id = finished_search(settings.database_url, gm=[1, 8], gc=[1], seeds=2)
    with open_engine(settings.database_url).begin() as connection:
        transitions.set_status(connection, search_id, Status.RUNNING, "")  # the driver is about to leave
        (row,) = queries.list_searches(connection)
    shown = show(settings.database_url, search_id).progress
    assert (row.finished, row.seconds_left, shown.seconds_left) == (row.planned, None, None)


def test_an_unknown_search_is_named(database_url: str) -> None:
    upgrade(database_url)
    engine = open_engine(database_url, read_only=True)
    with engine.connect() as connection, pytest.raises(NotFound, match="no search has the id 'nowhere'"):
        queries.show_search(connection, "nowhere")
