"""Commands race with one another, with drivers that end, die or wake, with workers and the sweeper: none is lost."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from tests.faults.history import Command, kept_if_failed
from tests.faults.races import race
from tests.lanes import ROOT

KEPT = ROOT / "faults"  # histories of runs that failed
LONG = bool(os.environ.get("FAULTS_LONG"))  # set by make faults
SEEDS_IN_TURN, SEEDS_IN_THREADS = (160, 40) if LONG else (20, 5)  # on each database


@pytest.fixture(autouse=True)
def unsafe_sqlite() -> Iterator[None]:
    """Have SQLite not wait for the disk, as nobody minds what a race leaves when the machine fails."""

    def connect(connection: Any, _: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous = OFF")

    event.listen(Engine, "connect", connect)
    yield
    event.remove(Engine, "connect", connect)


@pytest.mark.parametrize("first", range(0, SEEDS_IN_TURN, 20))
def test_no_command_is_lost_in_any_order_of_transactions(database_url: str, tmp_path: Path, first: int) -> None:
    given = 0
    for seed in range(first, first + 20):
        history, violations = race(seed, database_url, tmp_path)
        with kept_if_failed(history, KEPT):
            assert violations == []
        given += sum(command.outcome == "ok" for command in history.of(Command))
    assert given > 20


def test_no_command_is_lost_between_transactions_that_meet(database_url: str, tmp_path: Path) -> None:
    for seed in range(1000, 1000 + SEEDS_IN_THREADS):
        history, violations = race(seed, database_url, tmp_path, threads=True)
        with kept_if_failed(history, KEPT):
            assert violations == []
