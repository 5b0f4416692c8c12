"""How far a running search is, in one line."""

from __future__ import annotations

import pytest

from search.cli.progress import CAUSE_LINES, Progress, best_so_far, describe
from search.plan.selection import Point
from search.plan.stages import Replicate
from search.settings import Settings
from search.store.database import open_engine
from search.views import EpochProgress
from search.vocabulary.outcome import Outcome
from search.vocabulary.states import Cause
from tests.search.stored import finished_search, open_recorder, show, submit

SMALL = {"gm": [1, 8], "gc": [4], "seeds": 2, "test_seeds": 1}


def started(settings: Settings, **fields: str) -> str:
    """Store a search with two finished trials, one that failed and one that runs."""
    search_id = submit(settings.database_url, **SMALL, **fields)
    recorder = open_recorder(settings.database_url, search_id)
    recorder.open(recorder._plan.build_stage("gm", []))
    for gm, seed, outcome in (
        (1, 0, Outcome(value=0.5)),
        (8, 0, Outcome(value=0.75)),
        (1, 1, Outcome(cause=Cause.RAISED, detail="x")),
    ):
        recorder.finish(recorder.start(Replicate("gm", Point("main", gm, 0), seed)), outcome)
    recorder.start(Replicate("gm", Point("main", 8, 0), 1))
    return search_id


def test_a_line_says_stage_counts_failures_and_the_best_so_far(settings: Settings) -> None:
    said = describe(show(settings.database_url, started(settings)))
    assert said.startswith(
        "stage gm · 3/10 trials done, 1 running, 6 left · 1 failed · highest mean so far 0.7500 (n=1) at gm=8, gc=0 · "
    )
    assert said.endswith(" s left")


def test_of_a_loss_the_lowest_is_the_best(settings: Settings) -> None:
    shown = show(settings.database_url, started(settings, recipe="planted-loss"))
    assert best_so_far(shown) == "lowest mean so far 0.5000 (n=1, 1 failed) at gm=1, gc=0"


def test_before_the_first_trial_ends_there_is_no_best(settings: Settings) -> None:
    shown = show(settings.database_url, submit(settings.database_url, **SMALL))
    assert best_so_far(shown) is None
    assert describe(shown) == "stage gm · 0/10 trials done, 0 running, 10 left"


def test_epochs_are_those_of_trials_that_run(settings: Settings) -> None:
    shown = show(settings.database_url, finished_search(settings.database_url, **SMALL))
    last = EpochProgress(low=0, high=0, planned=None, done=0.0, seconds_per_trial=None)
    stale = shown.model_copy(update={"progress": shown.progress.model_copy(update={"epochs": last})})
    assert describe(stale) == describe(shown)
    running = stale.model_copy(update={"trials": shown.trials.model_copy(update={"running": 1})})
    assert " · epoch 0 · " in describe(running)


def test_off_a_terminal_each_decision_is_said_once(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    shown = show(settings.database_url, finished_search(settings.database_url, **SMALL))
    with Progress() as progress:
        for _ in range(2):
            progress.update(shown)
    said = capsys.readouterr().err.splitlines()
    assert said[:2] == [f"stage {stage.name}: {stage.sentence}" for stage in shown.stages]
    assert said[2:] == [describe(shown)]


def test_the_first_failure_is_shown_once_with_the_end_of_its_detail(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    search_id = submit(settings.database_url, **SMALL)
    recorder = open_recorder(settings.database_url, search_id)
    recorder.open(recorder._plan.build_stage("gm", []))
    detail = "\n".join(["too early", *map(str, range(CAUSE_LINES - 1)), "exit code 3"])
    lost, raised = Outcome(cause=Cause.LOST, detail="x"), Outcome(cause=Cause.RAISED, detail=detail)
    for gm, outcome in ((1, lost), (8, raised), (1, raised)):
        recorder.finish(recorder.start(Replicate("gm", Point("main", gm, 0), 0)), outcome)
    engine = open_engine(settings.database_url, read_only=True)
    with Progress("seqnorm --home here") as progress:
        progress.read(engine, search_id)
        progress._read_at = 0.0
        progress.read(engine, search_id)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "Trial gm/1 (gm=8, gc=0, seed=0) failed: raised"
    assert said[1:-2] == [*(f"  {line}" for line in range(CAUSE_LINES - 1)), "  exit code 3"]
    assert said.count("  exit code 3") == 1
    assert said[-2] == f"Read its log with: seqnorm --home here logs {search_id} gm/1"


def test_the_store_is_read_now_and_then(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    search_id = submit(settings.database_url, **SMALL)
    engine = open_engine(settings.database_url, read_only=True)
    with Progress() as progress:
        for _ in range(3):
            progress.read(engine, search_id)
    assert capsys.readouterr().err.splitlines() == ["stage gm · 0/10 trials done, 0 running, 10 left"]
