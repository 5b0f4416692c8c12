"""Upserts with ``ON CONFLICT``, for SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

Insert = sqlite.Insert | postgresql.Insert

_INSERT: dict[str, Callable[[Table], Insert]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def insert_or_ignore(connection: Connection, table: Table) -> Insert:
    """Return an INSERT that skips existing rows; the caller adds values or a SELECT."""
    return _INSERT[connection.dialect.name](table).on_conflict_do_nothing()


def upsert(connection: Connection, table: Table, row: Mapping[str, Any], changing: Iterable[str]) -> None:
    """Insert a row; if its primary key exists, update the ``changing`` columns."""
    statement = _INSERT[connection.dialect.name](table).values(**row)
    changes = {name: statement.excluded[name] for name in changing}
    key = list(table.primary_key.columns)
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_=changes))
