"""A database's errors, in a sentence."""

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy import text

from search.cli.database_errors import database_error_message
from search.settings import Settings
from search.store.database import DatabaseError, open_engine
from tests.search.stored import prepare


def test_what_a_database_refuses_is_said_in_one_line_with_what_to_do(settings: Settings) -> None:
    prepare(settings.database_url)
    engine = open_engine(settings.database_url)
    with engine.connect() as connection, pytest.raises(DatabaseError) as fault:
        connection.execute(text("SELECT * FROM\n  nowhere"))
    assert database_error_message(fault.value) == (
        "the database must be readable and writable: got no such table: nowhere. "
        "Check that it exists and who owns it, or name another with --db URL."
    )


@pytest.mark.parametrize("error", [RuntimeError("a fault of ours"), sqlite3.OperationalError("of another's database")])
def test_any_other_error_is_not_blamed_on_the_database(error: Exception) -> None:
    assert database_error_message(error) is None
