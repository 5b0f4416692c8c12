"""Engines of SQLite and PostgreSQL."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from search.settings import Settings
from search.store import workers
from search.store.database import (
    Connection,
    DatabaseError,
    check_connection,
    now,
    on_begin,
    open_engine,
    to_store_unavailable,
)
from search.store.schema import upgrade
from search.vocabulary.errors import Fenced, StoreUnavailable
from tests.search.stored import prepare


def test_leases_run_on_the_clock_of_the_database(database_url: str) -> None:
    import time

    upgrade(database_url)
    engine = open_engine(database_url)
    with engine.connect() as connection:
        assert connection.execute(now().select()).scalar_one() == pytest.approx(time.time(), abs=2)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("not a url", "must be an SQLAlchemy URL of SQLite or PostgreSQL: got text that is not a URL"),
        ("nosuch://somewhere/db", "must be an SQLAlchemy URL of SQLite or PostgreSQL: got nosuch://somewhere/db"),
        ("sqlite:////proc/nowhere/test.db", "folder must be writable: got /proc/nowhere"),
    ],
)
def test_a_database_that_cannot_be_opened_is_named(url: str, words: str) -> None:
    with pytest.raises(StoreUnavailable, match=words):
        upgrade(url)


def test_a_reader_does_not_wait_for_a_writer(settings: Settings) -> None:
    prepare(settings.database_url)
    reading = open_engine(settings.database_url, read_only=True)
    with open_engine(settings.database_url).begin() as writing:
        workers.register(writing)
        with reading.connect() as connection:
            assert workers.list_alive(connection) == []
    with reading.connect() as connection:
        assert len(workers.list_alive(connection)) == 1


def test_a_writer_holds_the_lock_from_its_first_moment(settings: Settings) -> None:
    prepare(settings.database_url)
    impatient = sqlite3.connect(settings.home / "seqnorm.db", timeout=0)
    locked = pytest.raises(sqlite3.OperationalError, match="database is locked")
    with closing(impatient), open_engine(settings.database_url).begin(), locked:
        impatient.execute("BEGIN IMMEDIATE")


def test_what_a_check_raises_keeps_the_transaction_from_writing(settings: Settings) -> None:
    prepare(settings.database_url)
    engine = open_engine(settings.database_url)
    asked: list[str] = []

    def check(connection: Connection) -> None:
        asked.append("before anything else")
        check_connection(connection)
        raise Fenced("taken over")

    on_begin(engine, check)
    with pytest.raises(Fenced), engine.begin() as connection:
        workers.register(connection)
    assert asked == ["before anything else"]
    with open_engine(settings.database_url).connect() as connection:
        assert workers.list_alive(connection) == []


def test_a_fault_is_said_without_the_password() -> None:
    url = "postgresql+psycopg://me:secret@127.0.0.1:1/seqnorm"
    with pytest.raises(DatabaseError) as fault:
        open_engine(url).connect()
    said = str(to_store_unavailable(url, fault.value))
    assert said.startswith(
        "the database must be readable and writable: got postgresql+psycopg://me:[redacted]@127.0.0.1:1/"
    )
    assert "secret" not in said
