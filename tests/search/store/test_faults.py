"""A database's errors, in a sentence."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text

from search.settings import Settings
from search.store import tables, workers
from search.store.database import Connection, DatabaseError, open_engine
from search.store.faults import Fault, database_message, find_fault, own_sentence
from tests.search.stored import prepare


def test_what_a_database_refuses_is_said_in_one_line_with_what_to_do(settings: Settings) -> None:
    prepare(settings.database_url)
    engine = open_engine(settings.database_url)
    with engine.connect() as connection, pytest.raises(DatabaseError) as fault:
        connection.execute(text("SELECT * FROM\n  nowhere"))
    assert database_message(fault.value) == (
        "the database must be readable and writable: got no such table: nowhere. "
        "Check that it exists and who owns it, or name another with --db URL."
    )


@pytest.mark.parametrize("error", [RuntimeError("a fault of ours"), sqlite3.OperationalError("of another's database")])
def test_any_other_error_is_not_blamed_on_the_database(error: Exception) -> None:
    assert (database_message(error), find_fault(error)) == (None, None)
    assert own_sentence(error) == str(error)


def lock(connection: Connection) -> None:
    """Take what every other writer needs."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"LOCK TABLE {tables.workers.name} IN ACCESS EXCLUSIVE MODE"))


def test_a_lock_of_another_is_said_to_be_one_after_a_moment(database_url: str) -> None:
    with open_engine(database_url).begin() as holding:
        lock(holding)
        with pytest.raises(DatabaseError) as fault, open_engine(database_url, wait_seconds=0.2).begin() as connection:
            workers.register(connection)
    assert find_fault(fault.value) is Fault.LOCKED
    assert str(database_message(fault.value)).startswith("the database must be free to write: got a lock of another")


def test_a_full_disk_is_said_to_be_full(settings: Settings) -> None:
    prepare(settings.database_url)
    with open_engine(settings.database_url).connect() as connection:
        connection.execute(text(f"PRAGMA max_page_count = {connection.scalar(text('PRAGMA page_count'))}"))
        with pytest.raises(DatabaseError) as fault:
            connection.execute(text("CREATE TABLE larger AS SELECT hex(zeroblob(1000000)) AS zeros"))
    assert database_message(fault.value) == (
        "the database must have room to write: got database or disk is full. Make room, then try again."
    )


def test_a_database_that_is_gone_is_said_to_be_gone_behind_an_error_of_a_library_too(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError) as fault:
        open_engine(f"sqlite:///{tmp_path / 'none.db'}").connect()
    wrapped = RuntimeError("storage")
    wrapped.__cause__ = fault.value
    assert find_fault(wrapped) is Fault.GONE
    assert f"got no file at {tmp_path / 'none.db'}" in str(database_message(wrapped))


def test_no_value_of_a_row_is_quoted(database_url: str) -> None:
    engine = open_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE passwords (word VARCHAR(20) UNIQUE)"))
        connection.execute(insertion := text("INSERT INTO passwords VALUES (:word)"), {"word": "hunter2"})
    with pytest.raises(DatabaseError) as fault, engine.begin() as connection:
        connection.execute(insertion, {"word": "hunter2"})
    assert "hunter2" not in str(database_message(fault.value))
