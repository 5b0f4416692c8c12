"""Engines of SQLite and PostgreSQL."""

from __future__ import annotations

import pytest

from search.errors import StoreUnavailable
from search.store.database import now, open_engine
from search.store.schema import upgrade


def test_leases_run_on_the_clock_of_the_database(database_url: str) -> None:
    import time

    upgrade(database_url)
    engine = open_engine(database_url)
    with engine.connect() as connection:
        assert connection.execute(now().select()).scalar_one() == pytest.approx(time.time(), abs=2)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("not a url", "must be an SQLAlchemy URL of SQLite or PostgreSQL: got text that is no URL"),
        ("nosuch://somewhere/db", "must be an SQLAlchemy URL of SQLite or PostgreSQL: got nosuch://somewhere/db"),
        ("sqlite:////proc/nowhere/test.db", "folder must be writable: got /proc/nowhere"),
    ],
)
def test_a_database_that_cannot_be_opened_is_named(url: str, words: str) -> None:
    with pytest.raises(StoreUnavailable, match=words):
        upgrade(url)
