"""Runs a command as a trial."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainers.trial import Params, Report, Result


def load(numbers: Any, data: str | None, home: Path) -> None:
    """Load nothing: a command reads its data itself."""


def run(params: Params, report: Report) -> Result:
    """Run the command of ``params`` to its end."""
    raise NotImplementedError
