"""The tables of accounts come with a migration, on SQLite and on PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import alembic.command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Select, String, Table, insert, inspect, select

import search.store
from search.store import tables
from search.store.database import open_engine
from search.store.schema import upgrade
from service import accounts
from tests.service.accounts.conftest import add_search, create


def test_a_database_from_before_accounts_is_migrated_with_its_rows(empty_database_url: str) -> None:
    engine = open_engine(empty_database_url, create=True)
    config = Config()
    config.set_main_option("script_location", str(Path(search.store.__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, "0001")
        assert "tokens" not in inspect(connection).get_table_names()
        add_search(connection, "before")
        connection.execute(insert(tables.events).values(search_id="before", at=1.5, kind="submitted", detail={"n": 1}))
        queries = [of_columns_there(connection, table) for table in (tables.searches, tables.events)]
        kept = [connection.execute(query).all() for query in queries]
    assert upgrade(empty_database_url) >= "0002"
    with engine.begin() as connection:
        assert [connection.execute(query).all() for query in queries] == kept
        token, shown = create(connection)
        assert accounts.authenticate_token(connection, shown) == token


def of_columns_there(connection: Connection, table: Table) -> Select[Any]:
    """Return the query for the columns of a table that a database has at this moment."""
    there = {column["name"] for column in inspect(connection).get_columns(table.name)}
    return select(*(column for column in table.c if column.name in there))


def test_the_migrations_make_the_tables_that_the_program_knows(connection: Connection) -> None:
    def ours(_: Any, name: str | None, kind: str, *__: Any) -> bool:
        return kind != "table" or name in tables.metadata.tables

    def differs(there: MigrationContext, _: Any, __: Any, stored: Any, known: Any) -> bool | None:
        lengths = isinstance(stored, String) and isinstance(known, String) and there.dialect.name == "sqlite"
        return False if lengths else None  # SQLite holds text of any length, so migrations leave it alone

    context = MigrationContext.configure(connection, opts={"include_object": ours, "compare_type": differs})
    assert compare_metadata(context, tables.metadata) == []
