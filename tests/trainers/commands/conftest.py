"""Runs small programs as trials, in the process of the test."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from trainers.commands.command import Command
from trainers.commands.run import run
from trainers.trial import Params, Result

PYTHON = (sys.executable, "-S", "-E", "-c")  # which starts in 15 ms


@dataclass
class Runner:
    """Runs commands in folders of a test; remembers what they report."""

    folder: Path  #: of the trial
    home: Path  #: where programs run
    reported: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    on_report: Callable[[], None] = lambda: None
    on_poll: Callable[[], None] = lambda: None

    def shell(self, script: str, **options: Any) -> Result:
        return self.words("/bin/sh", "-c", script, **options)

    def python(self, script: str, **options: Any) -> Result:
        return self.words(*PYTHON, script, **options)

    def words(self, *words: str, measure: Any = "validation", numbers: Any = None, **fields: Any) -> Result:
        command = Command(words=words, **{"folder": str(self.home), "metric": "acc", **fields})
        params = Params(
            gm=4,
            gc=2,
            seed=7,
            numbers=numbers,
            measure=measure,
            folder=self.folder,
            command=command,
            poll=lambda: self.on_poll(),
        )
        return run(params, self._report)

    def _report(self, *, epoch: int, **metrics: float) -> None:
        self.reported.append((epoch, metrics))
        self.on_report()


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.setattr("trainers.commands.run.LOOK_SECONDS", 0.02)
    monkeypatch.setattr("trainers.commands.program.TERM_SECONDS", 0.5)
    monkeypatch.setattr("trainers.commands.run.POLL_SECONDS", 0.02)
    home = tmp_path / "home"
    home.mkdir()
    return Runner(tmp_path / "trial", home)
