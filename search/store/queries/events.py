"""What happened to a search."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from search.store.tables import events


def list_events(connection: Connection, search_id: str, after: int = 0, limit: int = 200) -> list[dict[str, Any]]:
    """Return what happened to a search, oldest first."""
    rows = connection.execute(
        select(events).where(events.c.search_id == search_id, events.c.id > after).order_by(events.c.id).limit(limit)
    )
    return [{"id": row.id, "at": row.at, "kind": row.kind, **row.detail} for row in rows]
