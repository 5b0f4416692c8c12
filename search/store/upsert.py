"""Rows that may be there already: ``ON CONFLICT``, which each database has in an insert of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

Insert = sqlite.Insert | postgresql.Insert

_INSERT: dict[str, Callable[[Table], Insert]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def insert_or_ignore(connection: Connection, table: Table) -> Insert:
    """Return an INSERT that leaves a row that is there as it is; the caller gives it values, or what to select."""
    return _INSERT[connection.dialect.name](table).on_conflict_do_nothing()


def upsert(connection: Connection, table: Table, row: Mapping[str, Any], changing: Iterable[str]) -> None:
    """Store a row; where its primary key is taken, change these columns of the row that is there."""
    statement = _INSERT[connection.dialect.name](table).values(**row)
    changes = {name: statement.excluded[name] for name in changing}
    key = list(table.primary_key.columns)
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_=changes))
