"""Every trial of a stage, as the store has it."""

from __future__ import annotations

import pytest

from search.engine.recorder import Recorder
from search.plan.selection import Point
from search.plan.stages import Replicate
from search.settings import Settings
from search.store.attempts import find_studies, list_running, read_attempts
from search.vocabulary.outcome import Outcome
from search.vocabulary.states import Cause
from tests.search.stored import open_recorder, submit

FIRST, SECOND, THIRD = (Replicate("gm", Point("main", gm, 0), seed) for gm, seed in ((1, 0), (16, 2), (2, 1)))


@pytest.fixture
def recorder(settings: Settings) -> Recorder:
    """That of a search with one trial that failed, one that finished and one that runs."""
    recorder = open_recorder(settings.database_url, submit(settings.database_url))
    recorder.open(recorder._plan.build_stage("gm", []))
    recorder.finish(recorder.start(FIRST), Outcome(cause=Cause.RAISED, detail="a fault"))
    recorder.finish(recorder.start(SECOND), Outcome(value=0.25))
    recorder.start(THIRD)
    return recorder


def test_attempts_are_read_oldest_first_with_what_they_trained_and_how_they_ended(recorder: Recorder) -> None:
    with recorder.engine.begin() as connection:
        found = list(read_attempts(connection, recorder._search_id, "gm"))
    assert [(each.number, each.replicate, each.state, each.value, each.cause) for each in found] == [
        (0, FIRST, "FAIL", None, "raised"),
        (1, SECOND, "COMPLETE", 0.25, None),
        (2, THIRD, "RUNNING", None, None),
    ]
    assert found[0].trial_id < found[1].trial_id < found[2].trial_id


def test_what_runs_is_found_whatever_its_stage(recorder: Recorder) -> None:
    measured = recorder._plan.baselines()
    recorder.open(measured)
    also = recorder.start(measured.replicates()[0])
    with recorder.engine.begin() as connection:
        *_, tuned = read_attempts(connection, recorder._search_id, "gm")
        assert sorted(list_running(connection, recorder._search_id)) == [tuned.trial_id, also]
        assert list_running(connection, "another") == []


def test_a_search_has_the_stages_that_have_a_study(recorder: Recorder) -> None:
    search_id = recorder._search_id
    with recorder.engine.begin() as connection:
        assert list(find_studies(connection, search_id).values()) == ["gm"]
    recorder.open(recorder._plan.baselines())
    with recorder.engine.begin() as connection:
        assert sorted(find_studies(connection, search_id).values()) == ["gm", "test"]
        assert list(find_studies(connection, search_id, "test").values()) == ["test"]
        assert find_studies(connection, search_id[:-1]) == {}, "the id of a search is no beginning of another's"
