"""Calls are repeated while the database does not answer, and for nothing else."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from search.store.database import open_engine
from search.store.faults import own_sentence
from search.store.patience import Patience, is_passing


def locked(folder: Path) -> OperationalError:
    """Return the error of a writer that waits for another one."""
    holder = sqlite3.connect(folder / "test.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        other = sqlite3.connect(folder / "test.db", isolation_level=None, timeout=0)
        other.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        return OperationalError("BEGIN IMMEDIATE", None, error)
    finally:
        holder.close()
    raise AssertionError("it was not locked")


def test_a_call_is_repeated_until_the_database_answers_and_is_told_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    error, told = locked(tmp_path), []

    def call(again: bool) -> str:
        told.append(again)
        if len(told) < 3:
            raise error
        return "answer"

    with caplog.at_level("INFO"):
        assert Patience(60)(call) == "answer"
    assert told == [False, True, True]
    first, last = caplog.messages
    assert first == "the database does not answer; trying again for 60 s: database is locked"
    assert last.startswith("the database answers again after ")


def test_patience_ends_with_the_last_error(tmp_path: Path) -> None:
    error = locked(tmp_path)
    with pytest.raises(OperationalError):
        Patience(0)(lambda _: _raise(error))
    stopping = threading.Event()
    stopping.set()
    with pytest.raises(OperationalError):
        Patience(600, stopping)(lambda _: _raise(error))


def test_an_error_about_a_statement_is_raised_at_once(database_url: str) -> None:
    calls: list[bool] = []

    def call(again: bool) -> None:
        calls.append(again)
        with open_engine(database_url).connect() as connection:
            connection.execute(text("SELECT * FROM nowhere"))

    with pytest.raises(DBAPIError):
        Patience(60)(call)
    assert calls == [False]


def test_a_server_that_is_not_there_and_a_wrapped_error_may_pass(tmp_path: Path) -> None:
    nobody = open_engine("postgresql://seqnorm:secret@127.0.0.1:9/none")
    with pytest.raises(OperationalError) as refused:
        nobody.connect()
    assert is_passing(refused.value)
    assert "secret" not in own_sentence(refused.value)
    wrapped = RuntimeError("wrapped")
    wrapped.__cause__ = locked(tmp_path)
    assert is_passing(wrapped)
    assert own_sentence(wrapped) == "database is locked"
    assert not is_passing(RuntimeError("other"))


def _raise(error: Exception) -> None:
    raise error
