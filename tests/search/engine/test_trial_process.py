"""What runs inside a trial's process: figures, an end in words, and nothing that outlives it. Without Ray."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from planted import surface

from search.engine import trial_process
from search.engine.trial_process import Reporter, TrialJob, run_trial


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
    assert message["outcome"] == {"value": value, "cause": None, "detail": ""}


def test_figures_travel_together_and_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    messages: list[dict[str, Any]] = []
    report = Reporter(messages.append, {"host": "here"})
    report(epoch=1, train_loss=0.5)
    report(epoch=2, train_loss=0.4)
    assert messages == []
    monkeypatch.setattr(trial_process, "REPORT_SECONDS", 0.0)
    report(epoch=3, train_loss=0.3)
    report.send({"value": 1.0})
    assert [(message["where"], sorted(message["epochs"]), message["outcome"]) for message in messages] == [
        ({"host": "here"}, [1, 2, 3], None),
        (None, [], {"value": 1.0}),
    ]


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
    assert printed.startswith("training gm=8 gc=4 seed=1\nTraceback")
    assert printed.endswith("RuntimeError: planted fault at gm=8\n\n")


def test_a_trial_that_hangs_ends_its_process_and_says_where_it_was(tmp_path: Path) -> None:
    done = run_alone(job(tmp_path, overrides={"hang_at": 8}, timeout=0.2))
    assert (done.returncode, done.stdout) == (1, "")
    printed = (tmp_path / "logs" / "a.log").read_text()
    assert "Timeout (0:00:00.2" in printed
    assert "planted.py" in printed


def test_a_trial_that_takes_too_much_memory_is_named_so_and_the_process_goes_on(tmp_path: Path) -> None:
    done = run_alone(job(tmp_path, overrides={"hoard_at": 8}, memory_bytes=120_000_000))
    assert json.loads(done.stdout)["cause"] == "out_of_memory"
