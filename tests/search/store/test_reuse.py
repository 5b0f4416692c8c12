"""Which finished trials of its parent a child links."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import update

from search.plan.selection import Point
from search.plan.stages import Replicate
from search.settings import Settings
from search.store.database import Connection, open_engine
from search.store.reuse import ReusableTrials
from search.store.tables import searches
from search.vocabulary.outcome import Outcome
from search.vocabulary.states import Cause
from tests.search.stored import finished_search, open_recorder, prepare, submit

POINT = Point("main", 8, 0)


@pytest.fixture
def connection(settings: Settings) -> Iterator[Connection]:
    prepare(settings.database_url)
    with open_engine(settings.database_url, read_only=True).connect() as connection:
        yield connection


def test_a_finished_trial_of_the_same_point_and_seed_is_found_whatever_its_stage(
    settings: Settings, connection: Connection
) -> None:
    parent = finished_search(settings.database_url, gm=[8], gc=[4], seeds=2, test_seeds=1)
    originals = ReusableTrials.read(connection, parent, {})
    found = originals.find(Replicate("grid", POINT, 1))
    assert found is not None
    assert (found.replicate, found.source) == (Replicate("gm", POINT, 1), f"{parent}/gm")
    assert originals.find(Replicate("gm", POINT, 2)) is None
    assert originals.find(Replicate("gm", Point("main", 4, 0), 1)) is None


def test_a_figure_of_the_test_set_stands_for_none_of_tuning(settings: Settings, connection: Connection) -> None:
    originals = ReusableTrials.read(connection, finished_search(settings.database_url, gm=[8], gc=[4], seeds=1), {})
    assert originals.find(Replicate("test", POINT, 1000)) is not None
    assert originals.find(Replicate("gm", POINT, 1000)) is None
    assert originals.find(Replicate("test", POINT, 0)) is None


def test_what_failed_or_still_runs_is_trained_anew(settings: Settings, connection: Connection) -> None:
    parent = submit(settings.database_url)
    recorder = open_recorder(settings.database_url, parent)
    recorder.open(recorder._plan.build_stage("gm", []))
    recorder.finish(recorder.start(Replicate("gm", POINT, 0)), Outcome(cause=Cause.RAISED, detail="x"))
    recorder.start(Replicate("gm", POINT, 1))
    originals = ReusableTrials.read(connection, parent, {})
    assert [originals.find(Replicate("gm", POINT, seed)) for seed in (0, 1)] == [None, None]


def test_what_its_accuracies_were_measured_on_is_known_with_its_trials(
    settings: Settings, connection: Connection
) -> None:
    parent = finished_search(settings.database_url, gm=[8], gc=[4], seeds=1)
    values = {"digest": {"recipe": "before"}, "samples": {"test": 2000}}
    with open_engine(settings.database_url).begin() as writing:
        writing.execute(update(searches).where(searches.c.id == parent).values(values))
    assert ReusableTrials.read(connection, parent, {"recipe": "before"}).samples == {"test": 2000}
    assert ReusableTrials.read(connection, parent, {"recipe": "after"}).samples == {}


def test_what_was_trained_with_another_code_is_trained_anew(settings: Settings, connection: Connection) -> None:
    parent = finished_search(settings.database_url, gm=[8], gc=[4], seeds=1)
    with open_engine(settings.database_url).begin() as writing:
        writing.execute(update(searches).where(searches.c.id == parent).values(digest={"recipe": "before"}))
    assert ReusableTrials.read(connection, parent, {"recipe": "before"}).find(Replicate("gm", POINT, 0)) is not None
    assert ReusableTrials.read(connection, parent, {"recipe": "after"}).find(Replicate("gm", POINT, 0)) is None
