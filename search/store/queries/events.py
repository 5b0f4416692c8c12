"""Reads the events of searches."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, ScalarSelect, Select, bindparam, func, select

from search.store.searches import get_owner
from search.store.tables import events, searches
from search.views import EventView
from search.vocabulary.errors import NotFound
from search.vocabulary.states import ACTIVE, EventKind


def list_events(
    connection: Connection, search_id: str, after: int = 0, limit: int = 200, owner: str | None = None
) -> list[EventView]:
    """Return the events of a search, oldest first. ``owner`` hides the ids of other owners' children."""
    rows = connection.execute(
        select(events).where(events.c.search_id == search_id, events.c.id > after).order_by(events.c.id).limit(limit)
    )
    found = [EventView(**{**row.detail, "id": row.id, "at": row.at, "kind": row.kind}) for row in rows]
    return found if owner is None else [_hide_child(connection, event, owner) for event in found]


def _hide_child(connection: Connection, event: EventView, owner: str) -> EventView:
    if event.kind is not EventKind.CHILD or event.search is None or get_owner(connection, event.search) == owner:
        return event
    return event.model_copy(update={"search": None})


NEWEST = (  # one index lookup per search; GROUP BY would scan all events
    select(func.max(events.c.id)).where(events.c.search_id == searches.c.id).scalar_subquery()
)


_NEWEST_BUT_PROGRESS = (
    select(events.c.id)
    .where(events.c.search_id == searches.c.id, events.c.kind != EventKind.PROGRESS)
    .order_by(events.c.id.desc())  # from the end of the index: a search has one event of progress
    .limit(1)
    .scalar_subquery()
)


def _select_version(newest: ScalarSelect[int]) -> Select[tuple[str, int]]:
    return select(searches.c.status, func.coalesce(newest, 0).label("id")).where(
        searches.c.id == bindparam("search_id")
    )


_VERSION, _VERSION_BUT_PROGRESS = _select_version(NEWEST), _select_version(_NEWEST_BUT_PROGRESS)


def read_version(connection: Connection, search_id: str, *, progress: bool = True) -> tuple[int, bool]:
    """Return the id of a search's newest event, and whether the search is queued or running.

    Pages of a search only change with an event, except for metrics by epoch and elapsed time. ``progress=False`` leaves
    out events of progress, which come every few seconds and change only what tells how far running trials are.

    Raises:
        NotFound: if no search has that id.
    """
    row = connection.execute(_VERSION if progress else _VERSION_BUT_PROGRESS, {"search_id": search_id}).first()
    if row is None:
        raise NotFound(f"no search has the id {search_id!r}. List them with: seqnorm list")
    return row.id, row.status in ACTIVE


def newest_events(connection: Connection, search_ids: Sequence[str]) -> dict[str, int]:
    """Return the id of the newest event of each search that has one."""
    rows = connection.execute(select(searches.c.id, NEWEST.label("newest")).where(searches.c.id.in_(search_ids)))
    return {row.id: row.newest for row in rows if row.newest is not None}
