"""What happens to a search, one row each: what pages and streams follow."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, insert, select

from search.store.database import now
from search.store.tables import events
from search.vocabulary.states import EventKind


def add_event(connection: Connection, search_id: str, kind: EventKind, detail: dict[str, Any]) -> None:
    """Record that something happened; what else the transaction changes of the search comes before.

    A search's events get their ids in the order in which they are committed, so that who has read up to an id has
    missed nothing: on PostgreSQL one transaction at a time may add to a search, on SQLite only one writes at all. Who
    locks the search's row does so ``FOR NO KEY UPDATE``: the new row's foreign key would wait for ``FOR UPDATE``.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(search_id, 0))))
    connection.execute(insert(events).values(search_id=search_id, at=now(), kind=kind, detail=detail))
