"""How a command ends that ran or watched a search. Whole searches are in tests/search/test_engine.py."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from search.actions.submit import submit_search
from search.cli.foreground import conclude, next_steps, resume_locally, run_locally, watch
from search.engine import ray_folder
from search.plan.selection import Point
from search.plan.stages import Replicate
from search.settings import Settings
from search.store import leases, searches, transitions
from search.store.database import open_engine
from search.vocabulary.errors import Conflict, InvalidSpec, NotFound, RayUnavailable
from search.vocabulary.outcome import Outcome
from search.vocabulary.states import Cause, Status
from tests.search.stored import PLANTED, finished_search, open_recorder, show, submit, train
from trainers.commands.command import Command

SMALL = {"gm": [1, 8], "gc": [4], "seeds": 2, "test_seeds": 1}


def test_a_search_is_stored_in_a_new_home_and_queued(settings: Settings) -> None:
    search_id = submit_search(settings, PLANTED)
    with open_engine(settings.database_url).connect() as connection:
        assert searches.get(connection, search_id).status == "queued"


def test_a_search_that_cannot_be_run_leaves_no_home(settings: Settings) -> None:
    with pytest.raises(InvalidSpec, match="gm must divide the batch"):
        submit_search(settings, {**PLANTED, "gm": [3]})
    assert not settings.home.exists()


@pytest.mark.parametrize("address", ["http://127.0.0.1:8265", "head", "127.0.0.1:1"])
def test_a_search_whose_cluster_does_not_answer_is_not_stored(settings: Settings, address: str) -> None:
    with pytest.raises(RayUnavailable, match=f"got {address} "):
        run_locally(replace(settings, ray_address=address), PLANTED, False, "seqnorm")
    assert not settings.home.exists()


def test_a_search_is_not_stored_where_a_private_ray_finds_no_folder(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_folder, "PARENT_BYTES", 3)
    with pytest.raises(RayUnavailable, match=r"a path of at most 3 bytes.* Set TMPDIR to such a folder\.$"):
        run_locally(settings, PLANTED, False, "seqnorm")
    assert not settings.home.exists()


def test_a_search_is_left_as_it_is_by_a_resume_whose_cluster_does_not_answer(settings: Settings) -> None:
    search_id = submit(settings.database_url)
    with open_engine(settings.database_url).begin() as connection:
        transitions.set_status(connection, search_id, Status.PAUSED, "by a person")
    with pytest.raises(RayUnavailable, match="Connection refused"):
        resume_locally(replace(settings, ray_address="127.0.0.1:1"), search_id, False, "seqnorm")
    assert show(settings.database_url, search_id).reason == "by a person"


@pytest.mark.parametrize(
    ("status", "reason", "code", "said"),
    [
        (Status.DONE, "", 0, []),
        (
            Status.FAILED,
            "nothing is stable",
            1,
            ["The search is failed: nothing is stable", "Logs are under ", "Once that is fixed, go on with: seqnorm"],
        ),
        (Status.PAUSED, "interrupted", 3, ["The search is paused: interrupted", "Go on with: "]),
        (
            Status.PAUSED,
            "accept it with: seqnorm resume abc --accept-code-change",
            3,
            ["The search is paused: accept it with: seqnorm --home here resume abc --accept-code-change"],
        ),
        (Status.CANCELLED, "", 3, ["The search is cancelled: no reason was given"]),
    ],
)
def test_the_exit_code_and_the_last_lines_say_how_a_search_ended(
    settings: Settings, status: Status, reason: str, code: int, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    search_id = submit(settings.database_url, **SMALL)
    with open_engine(settings.database_url).begin() as connection:
        transitions.set_status(connection, search_id, status, reason)
    assert conclude(settings, show(settings.database_url, search_id), False, "seqnorm --home here") == code
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert len(lines) == len(said)
    assert all(line.startswith(words) for line, words in zip(lines, said, strict=True))
    assert f"Search {search_id} · planted · sequential · {status}" in printed.out


def test_a_search_of_a_program_ends_with_the_line_that_trains_its_choice_by_hand(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = show(settings.database_url, finished_search(settings.database_url, **SMALL))
    assert shown.chosen
    here = Command(words=("/bin/none", "{gm}", "{gc}"), folder=str(Path.cwd()))
    conclude(settings, shown, False, "seqnorm", here)
    gm, gc = shown.chosen.gm, shown.chosen.gc
    by_hand = f"Train with gm={gm}, gc={gc} by hand: /bin/none {gm} {gc}"
    assert capsys.readouterr().err.splitlines() == [by_hand]


@pytest.mark.parametrize("status", [Status.FAILED, Status.PAUSED])
def test_where_trials_have_failed_they_are_trained_again_first(settings: Settings, status: Status) -> None:
    search_id = submit(settings.database_url, **SMALL)
    recorder = open_recorder(settings.database_url, search_id)
    recorder.open(recorder._plan.build_stage("gm", []))
    recorder.finish(recorder.start(Replicate("gm", Point("main", 1, 0), 0)), Outcome(cause=Cause.CRASH_LOOP))
    with recorder.engine.begin() as connection:
        transitions.set_status(connection, search_id, status, "a reason")
        leases.release(connection, leases.Lease(search_id, 1))
    retry = f"Train its failed trials again with: seqnorm retry {search_id}"
    resume = f"Go on with: seqnorm resume {search_id}"
    advice = [*next_steps(show(settings.database_url, search_id), "seqnorm")]
    assert advice == [retry] + [resume] * (status == Status.PAUSED)
    with open_engine(settings.database_url).begin() as connection:
        assert searches.retry(connection, search_id) == 1


@pytest.mark.parametrize("status", [Status.FAILED, Status.PAUSED])
def test_what_the_layers_refuse_is_trained_again_only_once_something_is_fixed(
    settings: Settings, status: Status
) -> None:
    search_id = submit(settings.database_url, **SMALL)
    recorder = open_recorder(settings.database_url, search_id)
    train(recorder, search_id, stop_after=1, refused=[1])
    with recorder.engine.begin() as connection:
        transitions.set_status(connection, search_id, status, "a reason")
        leases.release(connection, leases.Lease(search_id, 1))
    shown = show(settings.database_url, search_id)
    assert (shown.trials.failed > 0, shown.trials.retriable) == (True, 0)
    fixed, resume = (
        f"Once that is fixed, go on with: seqnorm retry {search_id}",
        f"Go on with: seqnorm resume {search_id}",
    )
    assert [*next_steps(shown, "seqnorm")] == [fixed if status == Status.FAILED else resume]


@pytest.mark.parametrize("command", ["watch", "resume"])
def test_a_search_that_is_done_is_shown_and_not_run(
    settings: Settings, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    search_id = finished_search(settings.database_url, **SMALL)
    run = {"watch": watch, "resume": resume_locally}[command]
    assert run(settings, search_id, True, "seqnorm") == 0
    assert json.loads(capsys.readouterr().out)["search"] == search_id
    assert not settings.search_folder(search_id).exists(), "no driver has written a log"


def test_a_cancelled_search_is_not_resumed(settings: Settings) -> None:
    search_id = submit(settings.database_url)
    with open_engine(settings.database_url).begin() as connection:
        transitions.set_status(connection, search_id, Status.CANCELLED, "")
    with pytest.raises(Conflict, match=f"got {search_id}, which is cancelled"):
        resume_locally(settings, search_id, False, "seqnorm")
    with pytest.raises(NotFound, match="no search has the id 'nowhere'"):
        resume_locally(settings, "nowhere", False, "seqnorm")
