"""Writes the events of searches, which pages and streams follow."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, insert, select

from search.store.database import now
from search.store.tables import events
from search.vocabulary.states import EventKind


def add_event(connection: Connection, search_id: str, kind: EventKind, detail: dict[str, Any]) -> int:
    """Add an event; return its id. Call it after all other changes to the search in the same transaction.

    Event ids of a search increase in commit order, so a reader that has read up to an id has missed nothing. For that,
    PostgreSQL lets one transaction at a time add events to a search; SQLite has one writer anyway. Lock the search's
    row with ``FOR NO KEY UPDATE``: the foreign key of the new event would wait for ``FOR UPDATE``.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(search_id, 0))))
    added = connection.execute(insert(events).values(search_id=search_id, at=now(), kind=kind, detail=detail))
    return int(added.inserted_primary_key[0])  # type: ignore[index]  # one row was inserted
