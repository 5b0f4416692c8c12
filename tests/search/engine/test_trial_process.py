"""What runs inside a trial's process: figures, an end in words, and nothing that outlives it. Without Ray."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import planted
import pytest
from planted import surface

from search.engine import reporter, trial_log
from search.engine.trial_process import TrialJob, run_trial
from trainers.commands.command import Command
from trainers.trial import Diverged, Params, Report, Result


def job(tmp_path: Path, gm: int = 8, gc: int = 4, **changes: Any) -> TrialJob:
    parts = {"overrides": {}, "seed": 1, "normalize": True, "measure": "validation", **changes}
    return TrialJob(
        recipe="planted", gm=gm, gc=gc, folder=str(tmp_path / "weights"), log=str(tmp_path / "logs" / "a.log"), **parts
    )


def sent(job: TrialJob) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    run_trial(job, "no data", messages.append, {"node": "a"})
    return messages


def run_alone(job: TrialJob) -> subprocess.CompletedProcess[str]:
    """Run a trial in a process of its own, which prints what it sends."""
    program = (
        "import json, sys; from search.engine.trial_process import TrialJob, run_trial\n"
        "said = []; run_trial(TrialJob(**json.loads(sys.argv[1])), None, said.append, {})\n"
        "print(json.dumps(said[-1]['outcome']))"
    )
    words = [sys.executable, "-c", program, json.dumps(asdict(job))]
    return subprocess.run(words, capture_output=True, text=True, timeout=60)


def test_a_finished_trial_sends_where_it_ran_its_figures_and_its_value(tmp_path: Path) -> None:
    (message,) = sent(job(tmp_path, overrides={"epochs": 2}))
    assert message["where"] == {"node": "a", "host": os.uname().nodename, "pid": os.getpid()}
    value = surface(8, 4, 1, 0.002)
    assert {epoch: figures["validation_accuracy"] for epoch, figures in message["epochs"].items()} == {
        1: value / 2,
        2: value,
    }
    assert message["outcome"] == {"value": value, "cause": None, "detail": "", "samples": 1000}


@pytest.mark.parametrize(
    ("fault", "cause", "words"),
    [
        ("raise_at", "raised", "RuntimeError: planted fault at gm=8"),
        ("diverge_at", "diverged", "the metric is not finite: nan"),
        ("chance_at", "diverged", "accuracy 0.1100 is at chance"),
        ("nosuch", "raised", "has no number nosuch"),
    ],
)
def test_a_trial_that_fails_says_why(tmp_path: Path, fault: str, cause: str, words: str) -> None:
    outcome = sent(job(tmp_path, overrides={fault: 8}))[-1]["outcome"]
    assert (outcome["value"], outcome["cause"]) == (None, cause)
    assert words in outcome["detail"]


def run_recipe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Callable[[Params, Report], Any]) -> dict[str, Any]:
    """Run a recipe of one's own in this process; return the outcome that it sends."""
    monkeypatch.setattr(planted, "run", run)
    outcome: dict[str, Any] = sent(job(tmp_path))[-1]["outcome"]
    return outcome


def raises(error: BaseException) -> Callable[[Params, Report], Result]:
    def run(params: Params, report: Report) -> Result:
        raise error

    return run


def swallows(*positional: Any, **reported: Any) -> Callable[[Params, Report], Result]:
    def run(params: Params, report: Report) -> Result:
        with contextlib.suppress(Exception):
            report(*positional, **reported)  # the line of the recipe
        return Result(value=0.9)

    return run


def closes_its_output(params: Params, report: Report) -> Result:
    sys.stdout.close()
    sys.stderr = None
    raise ValueError("a fault")


def closes_the_descriptors(params: Params, report: Report) -> Result:
    os.close(1)
    os.close(2)
    return Result(value="0.9")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("run", "cause", "words"),
    [
        (raises(SystemExit(0)), "raised", "SystemExit: 0"),
        (raises(KeyboardInterrupt()), "raised", "KeyboardInterrupt"),
        (raises(GeneratorExit()), "raised", "GeneratorExit"),
        (raises(ValueError("a\0b\ud800")), "raised", "ValueError: a\\x00b\\ud800"),
        (raises(Diverged("a\0b\ud800")), "diverged", "a\\x00b\\ud800"),
        (lambda params, report: None, "raised", "planted:run must return a Result: got None"),
        (lambda params, report: Result(value=1e300), "diverged", "to be compared: got 1e+300"),
        (swallows(epoch=0.5, loss=0.5), "raised", "an epoch must be an integer from 0 to 2147483647: got 0.5"),
        (swallows(epoch=2**31, loss=0.5), "raised", "an epoch must be an integer from 0 to 2147483647: got 2147483648"),
        (swallows(epoch=1, loss="0.5"), "raised", "metric loss must be a number: got '0.5'"),
        (swallows(1, loss=0.5), "raised", "a report must be given by name: got 1"),
        (closes_its_output, "raised", "ValueError: a fault"),
        (closes_the_descriptors, "raised", "the value that planted:run returns must be a number: got '0.9'"),
    ],
)
def test_whatever_a_recipe_does_its_trial_ends_with_an_outcome(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Callable[[Params, Report], Any], cause: str, words: str
) -> None:
    outcome = run_recipe(monkeypatch, tmp_path, run)
    assert (outcome["value"], outcome["cause"]) == (None, cause)
    assert words in outcome["detail"]
    assert run_recipe(monkeypatch, tmp_path, lambda params, report: Result(value=0.9))["value"] == 0.9  # the next trial


def test_a_refused_report_fails_the_trial_with_the_line_of_the_recipe(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    outcome = run_recipe(monkeypatch, tmp_path, swallows(epoch="one"))
    assert "report(*positional, **reported)  # the line of the recipe" in outcome["detail"]


@pytest.mark.parametrize("caught", [ValueError, BaseException])
def test_a_trial_that_is_told_to_stop_ends_without_an_outcome(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caught: type[BaseException]
) -> None:
    """Tune ends a trial by raising SystemExit in its report; some recipes catch that."""

    def run(params: Params, report: Report) -> Result:
        for epoch in range(3):
            with contextlib.suppress(caught):
                report(epoch=epoch, loss=0.5)
        return Result(value=0.9)

    def send(message: dict[str, Any]) -> None:
        messages.append(message)
        raise SystemExit(0)

    messages: list[dict[str, Any]] = []
    monkeypatch.setattr(planted, "run", run)
    monkeypatch.setattr(reporter, "REPORT_SECONDS", 0.0)
    with pytest.raises(SystemExit):
        run_trial(job(tmp_path), None, send, {})
    assert [message["outcome"] for message in messages] == [None]


def test_a_trial_prints_whatever_it_likes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def run(params: Params, report: Report) -> Result:
        print("a lone \ud800")
        return Result(value=0.9)

    assert run_recipe(monkeypatch, tmp_path, run)["value"] == 0.9
    assert "\na lone \\ud800\n" in (tmp_path / "logs" / "a.log").read_text()


def test_a_trial_draws_the_same_whatever_ran_before_it(tmp_path: Path) -> None:
    drawn = []
    for before in (1, 2):
        random.seed(before)
        sent(job(tmp_path, seed=7))
        drawn.append(random.random())
    assert drawn[0] == drawn[1]


def test_what_a_trial_prints_goes_to_its_log_and_what_follows_does_not(tmp_path: Path) -> None:
    done = run_alone(job(tmp_path, overrides={"raise_at": 8}))
    assert json.loads(done.stdout)["cause"] == "raised"
    assert done.stderr == ""
    printed = (tmp_path / "logs" / "a.log").read_text()
    first, second, third, *_, error, end = printed.splitlines()
    assert first.startswith(f"gm=8 gc=4 seed=1 on {os.uname().nodename}, process ")
    assert (second, third) == ("training gm=8 gc=4 seed=1", "Traceback (most recent call last):")
    assert error == "RuntimeError: planted fault at gm=8"
    assert end.startswith("raised after ")


def test_a_log_has_a_line_for_each_epoch_and_how_the_trial_ended(tmp_path: Path) -> None:
    sent(job(tmp_path, overrides={"epochs": 2, "noise": 0.0}))
    sent(job(tmp_path, overrides={"epochs": 1, "diverge_at": 8}))  # another attempt
    lines = (tmp_path / "logs" / "a.log").read_text().splitlines()
    epochs = [line.rpartition("  ")[0] for line in lines if line.startswith("epoch ")]
    assert epochs[:2] == [
        "epoch 1/2  train_loss 1  validation_loss 1  validation_accuracy 0.46",
        "epoch 2/2  train_loss 0.5  validation_loss 0.5  validation_accuracy 0.92",
    ]
    assert [line.partition(" after ")[0] for line in lines if " after " in line] == ["finished with 0.92", "diverged"]


def test_what_a_recipe_logs_is_in_its_log_and_that_of_the_next_trial_only_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def run(params: Params, report: Report) -> Result:
        logging.getLogger("my.recipe").info("began with %s", params.gm)
        logging.getLogger("my.recipe").debug("too much")
        return Result(value=0.9)

    run_recipe(monkeypatch, tmp_path, run)
    logging.getLogger("my.recipe").warning("after the trial")
    run_recipe(monkeypatch, tmp_path, run)
    printed = (tmp_path / "logs" / "a.log").read_text()
    assert printed.count("\nINFO my.recipe: began with 8\n") == 2
    assert "too much" not in printed
    assert "after the trial" not in printed


def test_a_recipe_that_sets_up_logging_itself_has_it_for_its_trial_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def sets_up(params: Params, report: Report) -> Result:
        logging.basicConfig(level=logging.DEBUG, format="own: %(message)s", force=True)
        logging.debug("first")
        return Result(value=0.9)

    def only_logs(params: Params, report: Report) -> Result:
        logging.info("second")
        return Result(value=0.9)

    run_recipe(monkeypatch, tmp_path, sets_up)
    run_recipe(monkeypatch, tmp_path, only_logs)
    printed = (tmp_path / "logs" / "a.log").read_text()
    assert "\nown: first\n" in printed
    assert "\nINFO root: second\n" in printed
    assert "own: second" not in printed


def test_a_trial_that_prints_without_end_fills_no_disk_and_its_last_words_are_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def run(params: Params, report: Report) -> Result:
        for number in range(40):
            os.write(number % 2 + 1, b"x" * 2**20)  # as a library of C does
            subprocess.run(["sh", "-c", f"echo {number} from a child"], check=True)
        raise ValueError("the last word")

    monkeypatch.setattr(trial_log, "HEAD_BYTES", 2**20)
    monkeypatch.setattr(trial_log, "LOG_BYTES", 2**21)
    run_recipe(monkeypatch, tmp_path, run)
    log = tmp_path / "logs" / "a.log"
    printed = log.read_text()
    assert log.stat().st_size < 2**21
    assert printed.count("[a log holds at most ") == 1
    assert printed.startswith("gm=8 ")
    assert "39 from a child\nTraceback" in printed
    assert "ValueError: the last word\nraised after " in printed


def test_a_trial_that_hangs_ends_its_process_and_says_where_it_was(tmp_path: Path) -> None:
    done = run_alone(job(tmp_path, overrides={"hang_at": 8}, timeout=0.2))
    assert (done.returncode, done.stdout) == (1, "")
    printed = (tmp_path / "logs" / "a.log").read_text()
    assert "Timeout (0:00:00.2" in printed
    assert "planted.py" in printed


def test_a_trial_that_takes_too_much_memory_is_named_so_and_the_process_goes_on(tmp_path: Path) -> None:
    done = run_alone(job(tmp_path, overrides={"hoard_at": 8}, memory_bytes=120_000_000))
    assert json.loads(done.stdout)["cause"] == "out_of_memory"


# Commands


def of_program(tmp_path: Path, script: str, **changes: Any) -> TrialJob:
    """Describe a trial of a shell script."""
    words = ("/bin/sh", "-c", script)
    return job(tmp_path, **{"command": asdict(Command(words=words, folder=str(tmp_path))), **changes})


def test_a_command_is_told_its_point_and_its_figure_is_read(tmp_path: Path) -> None:
    script = 'echo "$SEQNORM_GM $SEQNORM_GC $SEQNORM_SEED $SEQNORM_SPLIT" > "$SEQNORM_FOLDER/said"; echo accuracy: 0.75'
    outcome = sent(of_program(tmp_path, script, measure="test"))[-1]["outcome"]
    assert outcome == {"value": 0.75, "cause": None, "detail": "", "samples": None}
    assert (tmp_path / "weights" / "said").read_text() == "8 4 1 test\n"
    assert "accuracy: 0.75" in (tmp_path / "logs" / "a.log").read_text()


def test_a_program_that_takes_too_long_is_ended_and_the_process_goes_on(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    outcome = sent(of_program(tmp_path, "echo begun; exec sleep 600", timeout=0.5))[-1]["outcome"]
    assert (outcome["cause"], outcome["detail"]) == ("timeout", "no end after 0.5 s; the log shows where it was")
    assert sent(of_program(tmp_path, "echo accuracy: 0.5"))[-1]["outcome"]["value"] == 0.5
