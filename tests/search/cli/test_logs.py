"""Logs of trials on the terminal: one to its end, all that run, and what follows while they run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from search.cli import logs
from search.cli.logs import parse_trial, print_logs
from search.engine.recorder import Recorder
from search.plan.selection import Point
from search.plan.stages import Replicate
from search.settings import Settings
from search.store import transitions
from search.views import LogPart
from search.vocabulary.errors import InvalidSpec, NotFound
from search.vocabulary.outcome import Outcome
from search.vocabulary.states import Status
from tests.search.scripted import says, serving
from tests.search.stored import open_recorder, submit


class Training:
    """A search of which a test runs the trials."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.id = submit(settings.database_url)
        self.recorder: Recorder = open_recorder(settings.database_url, self.id)
        self.recorder.open(self.recorder._plan.build_stage("gm", []))

    def start(self, gm: int) -> int:
        self.write(gm, f"training gm={gm}\n")
        return self.recorder.start(Replicate("gm", Point("main", gm, 0), 0))

    def log(self, gm: int) -> Path:
        return self.settings.trial_log(self.id, Replicate("gm", Point("main", gm, 0), 0).key)

    def write(self, gm: int, text: str) -> None:
        log = self.log(gm)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            file.write(text.encode())

    def stop(self, status: Status = Status.DONE) -> None:
        with self.recorder.engine.begin() as connection:
            transitions.set_status(connection, self.id, status, "")


@pytest.fixture
def training(settings: Settings) -> Training:
    return Training(settings)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """What happens while a command waits, step by step; where nothing is left, the person presses Ctrl-C."""
    left: list[object] = []

    def wait(_: float) -> None:
        if not left:
            raise KeyboardInterrupt
        step = left.pop(0)
        assert callable(step)
        step()

    monkeypatch.setattr(logs.time, "sleep", wait)
    yield left
    assert not left


def test_the_log_of_a_trial_is_printed_and_a_terminal_obeys_none_of_it(
    training: Training, capsys: pytest.CaptureFixture[str]
) -> None:
    training.start(1)
    training.write(1, "10 %\r20 %\r\nred \x1b[31m\n")
    assert print_logs(training.settings, training.id, "gm/0", False, "seqnorm") == 0
    assert capsys.readouterr().out == "training gm=1\n10 %\n20 %\nred \\x1b[31m\n"


def test_without_a_trial_it_is_that_of_each_that_runs_or_else_the_newest(
    training: Training, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = training.start(1), training.start(2)
    print_logs(training.settings, training.id, None, False, "seqnorm")
    assert capsys.readouterr().out == "gm/0 | training gm=1\ngm/1 | training gm=2\n"
    for trial in (first, second):
        training.recorder.finish(trial, Outcome(value=0.5))
    print_logs(training.settings, training.id, None, False, "seqnorm")
    assert capsys.readouterr().out == "training gm=2\n"


def test_a_trial_is_followed_to_its_end(
    training: Training, steps: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    trial = training.start(1)
    steps += [
        lambda: training.write(1, "epoch 1/2\nhalf a"),
        lambda: training.write(1, " line\nepoch 2/2\nno newline"),
        lambda: training.recorder.finish(trial, Outcome(value=0.5)),
    ]
    assert print_logs(training.settings, training.id, "gm/0", True, "seqnorm") == 0
    assert capsys.readouterr().out == "training gm=1\nepoch 1/2\nhalf a line\nepoch 2/2\nno newline\n"


def test_a_search_is_followed_over_all_of_its_trials(
    training: Training, steps: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    trials: list[int] = []
    steps += [
        lambda: trials.append(training.start(1)),
        lambda: training.recorder.finish(trials.pop(), Outcome(value=0.5)),
        lambda: (training.recorder.finish(training.start(2), Outcome(value=0.5)), training.start(4)),
        lambda: training.write(4, "more\n"),
        lambda: (training.recorder.finish(3, Outcome(value=0.5)), training.stop()),
    ]
    assert print_logs(training.settings, training.id, None, True, "seqnorm") == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "gm/0 | training gm=1",
        "gm/1 | training gm=2",
        "gm/2 | training gm=4",
        "gm/2 | more",
    ]
    assert printed.err.count(f"{training.id} is running; none of its trials is running …\n") == 1


def test_ctrl_c_ends_following_and_nothing_else(
    training: Training, steps: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    training.start(1)
    assert print_logs(training.settings, training.id, None, True, "seqnorm") == 130
    printed = capsys.readouterr()
    assert printed.out == "gm/0 | training gm=1\n"
    assert printed.err == ""


ELSEWHERE = "This machine has no log of gm/0; it is where the trial trains.\n"


@pytest.mark.parametrize("trial", ["gm/0", None])
def test_a_log_that_is_on_another_machine_is_said_to_be(
    trial: str | None, training: Training, steps: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    started = training.start(1)
    training.log(1).unlink()
    assert print_logs(training.settings, training.id, trial, False, "seqnorm") == 0
    assert capsys.readouterr().err == ELSEWHERE
    steps += [lambda: None] * 4
    steps += [lambda: (training.recorder.finish(started, Outcome(value=0.5)), training.stop())]
    assert print_logs(training.settings, training.id, trial, True, "seqnorm") == 0
    assert capsys.readouterr() == ("", ELSEWHERE)


def test_a_log_that_begins_while_it_is_followed_is_not_missed(
    training: Training, steps: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    started = training.start(1)
    training.log(1).unlink()
    steps += [lambda: training.write(1, "begun\n"), lambda: training.recorder.finish(started, Outcome(value=0.5))]
    assert print_logs(training.settings, training.id, "gm/0", True, "seqnorm") == 0
    assert capsys.readouterr() == ("begun\n", "")


@pytest.mark.parametrize("trial", ["gm/0", None])
def test_lines_are_printed_as_json_with_the_trial_that_they_are_of(
    trial: str | None, training: Training, capsys: pytest.CaptureFixture[str]
) -> None:
    training.start(1)
    training.write(1, 'a "b" \x1b\n')
    assert print_logs(training.settings, training.id, trial, False, "seqnorm", json=True) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"trial": "gm/0", "text": "training gm=1"},
        {"trial": "gm/0", "text": 'a "b" \x1b'},
    ]


def test_before_the_first_trial_starts_there_is_no_log(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    search_id = submit(settings.database_url)
    assert print_logs(settings, search_id, None, False, "seqnorm") == 0
    assert capsys.readouterr().err == f"No trial of {search_id} has started.\n"


def test_the_logs_of_a_service_are_read_part_by_part(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    parts = [("épo", 4, False), ("ch 1/2\n", 11, False), ("", 11, False), ("epoch 2/2\n", 21, True)]
    answers = [
        says(LogPart(text=text, after=after, found=True, ended=ended).model_dump()) for text, after, ended in parts
    ]
    with serving(*answers) as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs, "FOLLOW_SECONDS", 0.0)
        assert print_logs(replace(settings, url=server.url), "abc", "gm/3", True, "seqnorm") == 0
    assert capsys.readouterr().out == "époch 1/2\nepoch 2/2\n"
    path = "/api/searches/abc/trials/gm/3/log/part?after="
    assert [received.path for received in server.received] == [f"{path}{after}" for after in (0, 4, 11, 11)]


@pytest.mark.parametrize("text", ["gm", "gm/", "3", "gm/-1", "gm/1.0", "g m/0", "gm/0/0", "gm/0123456789", "../gm/0"])
def test_a_trial_is_named_by_its_stage_and_number(text: str) -> None:
    with pytest.raises(InvalidSpec, match=r"^TRIAL must be STAGE/NUMBER: got .*Give e.g. gm/0, as pages"):
        parse_trial(text)
    assert parse_trial("test/12") == ("test", 12)
    assert parse_trial("learning_rate-2/0") == ("learning_rate-2", 0)


def test_a_trial_or_search_that_is_not_there_is_named(training: Training) -> None:
    with pytest.raises(NotFound, match="got gm and 7"):
        print_logs(training.settings, training.id, "gm/7", True, "seqnorm")
    with pytest.raises(NotFound, match="no search has the id 'nowhere'"):
        print_logs(training.settings, "nowhere", None, True, "seqnorm")
