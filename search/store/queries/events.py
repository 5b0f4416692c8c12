"""What happened to a search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, func, select

from search.store.tables import events


def list_events(connection: Connection, search_id: str, after: int = 0, limit: int = 200) -> list[dict[str, Any]]:
    """Return what happened to a search, oldest first."""
    rows = connection.execute(
        select(events).where(events.c.search_id == search_id, events.c.id > after).order_by(events.c.id).limit(limit)
    )
    return [{**row.detail, "id": row.id, "at": row.at, "kind": row.kind} for row in rows]


def newest_events(connection: Connection, search_ids: Sequence[str]) -> dict[str, int]:
    """Return the id of the newest event of each search that has one."""
    rows = connection.execute(
        select(events.c.search_id, func.max(events.c.id).label("id"))
        .where(events.c.search_id.in_(search_ids))
        .group_by(events.c.search_id)
    )
    return {row.search_id: row.id for row in rows}
