"""Upserts with ``ON CONFLICT``, for SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

Insert = sqlite.Insert | postgresql.Insert

_INSERT: dict[str, Callable[[Table], Insert]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def insert_or_ignore(connection: Connection, table: Table) -> Insert:
    """Return an INSERT that skips existing rows; the caller adds values or a SELECT."""
    return _INSERT[connection.dialect.name](table).on_conflict_do_nothing()


def upsert(connection: Connection, table: Table, row: Mapping[str, Any], changing: Sequence[str]) -> None:
    """Insert a row; if its primary key exists, update the ``changing`` columns."""
    connection.execute(_build(connection.dialect.name, table, tuple(changing)).values(**row))


@lru_cache
def _build(dialect: str, table: Table, changing: tuple[str, ...]) -> Insert:
    """Build the statement without its values, once: that takes longer than to run it."""
    statement = _INSERT[dialect](table)
    changes = {name: statement.excluded[name] for name in changing}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=changes)
