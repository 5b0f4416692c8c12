"""How far trials are and how long they take, known from their epochs long before the first one ends."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from search.engine.pace import SHOW_SECONDS, Pace, ShownProgress
from search.plan.selection import Point
from search.plan.stages import Replicate
from search.settings import Settings
from search.store import queries, tables
from search.store.database import open_engine
from search.views import EpochProgress
from search.vocabulary.outcome import Outcome
from tests.search.stored import open_recorder, show, submit


class Clock:
    """A clock that a test turns."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(clock: Clock) -> Pace:
    return Pace(clock)


def test_without_a_running_trial_there_is_nothing_to_tell(pace: Pace) -> None:
    assert pace.read() is None
    pace.start(1, planned=30)
    pace.end(1, finished=False)
    pace.report(1, [3])  # a message that was on its way
    assert pace.read() is None


def test_the_first_epoch_tells_how_long_a_trial_takes(pace: Pace, clock: Clock) -> None:
    for trial in (1, 2):
        pace.start(trial, planned=30)
    assert pace.read() == EpochProgress(low=0, high=0, planned=30, done=0, seconds_per_trial=None)
    clock.now += 72
    pace.report(1, [1])
    clock.now += 8
    pace.report(2, [1])
    found = pace.read()
    assert found is not None
    assert (found.low, found.high, found.planned, found.done) == (1, 1, 30, pytest.approx(2 / 30))
    assert found.seconds_per_trial == pytest.approx((72 + 80) / 2 * 30)


def test_later_epochs_tell_more_than_the_first_in_which_the_process_starts(pace: Pace, clock: Clock) -> None:
    pace.start(1, planned=60)
    clock.now += 200
    pace.report(1, [1])
    for epoch in (2, 3, 4):
        clock.now += 5
        pace.report(1, [epoch])
    found = pace.read()
    assert found is not None
    assert found.seconds_per_trial == pytest.approx(300)


def test_a_trial_that_goes_on_from_a_checkpoint_is_as_fast_as_what_it_trains_now(pace: Pace, clock: Clock) -> None:
    pace.start(1, planned=30)
    clock.now += 20
    pace.report(1, [21, 22])
    found = pace.read()
    assert found is not None
    assert (found.low, found.done, found.seconds_per_trial) == (22, pytest.approx(22 / 30), pytest.approx(300))


def test_trials_that_have_finished_tell_more_than_epochs(pace: Pace, clock: Clock) -> None:
    pace.start(1, planned=10)
    clock.now += 50
    pace.end(1, finished=True)
    pace.start(2, planned=10)
    clock.now += 1
    pace.end(2, finished=False)  # a failure says nothing
    pace.start(3, planned=10)
    clock.now += 99
    pace.report(3, [1])
    found = pace.read()
    assert found is not None
    assert found.seconds_per_trial == 50


@pytest.mark.parametrize(
    ("planned", "epochs", "shown"), [((10, 20), (3, 4), None), ((10, 10), (3, 11), None), ((10, 10), (3, 10), 10)]
)
def test_a_number_of_epochs_is_told_where_it_is_one_and_right(
    pace: Pace, clock: Clock, planned: tuple[int, int], epochs: tuple[int, int], shown: int | None
) -> None:
    for trial in (0, 1):
        pace.start(trial, planned[trial])
        pace.report(trial, [epochs[trial]])
    found = pace.read()
    assert found is not None
    assert (found.low, found.high, found.planned) == (*epochs, shown)
    assert found.done <= 2


def test_a_running_search_says_where_it_is_before_any_trial_has_ended(database_url: str, clock: Clock) -> None:
    search_id = submit(database_url, gm=[1, 8], gc=[4], seeds=2, test_seeds=1, numbers={"epochs": 30})
    recorder = open_recorder(database_url, search_id)
    recorder.pace = Pace(clock)
    shown = ShownProgress(recorder.pace, clock)
    recorder.open(recorder._plan.build_stage("gm", []))
    trial = recorder.start(Replicate("gm", Point("main", 1, 0), 0))
    clock.now += 72
    recorder.report(trial, {1: {"train_loss": 0.5}})
    events = select(func.count()).where(tables.events.c.kind == "progress")
    for _ in range(3):
        with recorder.engine.begin() as connection:
            shown.save_if_due(connection, search_id)
        shown.confirm()
        clock.now += SHOW_SECONDS
        recorder.report(trial, {2: {"train_loss": 0.4}})
    with recorder.engine.connect() as connection:
        (row,) = queries.list_searches(connection)
        assert connection.execute(events).scalar_one() == 1, "an event replaces the last one"
        newest = queries.newest_events(connection, [search_id])[search_id]
        assert [event.id for event in queries.list_events(connection, search_id)][-1] == newest
    recorder.close()
    progress = show(database_url, search_id).progress
    assert row.epochs is not None
    assert row.epochs == progress.epochs
    assert (row.epochs.low, row.epochs.planned) == (2, 30)
    seconds = row.epochs.seconds_per_trial
    assert seconds is not None
    assert row.seconds_left == progress.seconds_left == pytest.approx(seconds * (10 - 2 / 30))


def test_what_is_saved_counts_once_it_is_committed(settings: Settings, clock: Clock) -> None:
    search_id = submit(settings.database_url)
    pace = Pace(clock)
    shown = ShownProgress(pace, clock)
    pace.start(1, planned=30)
    engine = open_engine(settings.database_url)
    for committed in (False, True, True):
        with engine.connect() as connection:
            shown.save_if_due(connection, search_id)
            connection.commit() if committed else connection.rollback()
        if committed:
            shown.confirm()
        clock.now += SHOW_SECONDS
    with engine.connect() as connection:
        assert connection.execute(select(tables.searches.c.running)).scalar_one()["planned"] == 30


def test_what_a_driver_has_left_is_not_shown_as_running(settings: Settings, clock: Clock) -> None:
    search_id = submit(settings.database_url)
    recorder = open_recorder(settings.database_url, search_id, lease_seconds=-1)
    recorder.open(recorder._plan.build_stage("gm", []))
    recorder.start(Replicate("gm", Point("main", 1, 0), 0))
    with recorder.engine.begin() as connection:
        ShownProgress(recorder.pace, clock).save_if_due(connection, search_id)
    assert show(settings.database_url, search_id).progress.epochs is None
    with open_engine(settings.database_url, read_only=True).connect() as connection:
        assert queries.list_searches(connection)[0].epochs is None
    second = open_recorder(settings.database_url, search_id)
    assert show(settings.database_url, search_id).progress.epochs is None
    second.open(second._plan.build_stage("gm", []))
    second.finish(second.start(Replicate("gm", Point("main", 1, 0), 0)), Outcome(value=0.5))
    assert show(settings.database_url, search_id).progress.epochs is None


def test_without_planned_epochs_only_finished_trials_tell_how_long_one_takes(pace: Pace, clock: Clock) -> None:
    pace.start(1, planned=None)
    clock.now += 10
    pace.report(1, [1, 2])
    assert pace.read() == EpochProgress(low=2, high=2, planned=None, done=0, seconds_per_trial=None)
    pace.end(1, finished=True)
    pace.start(2, planned=None)
    found = pace.read()
    assert found is not None
    assert found.seconds_per_trial == 10
