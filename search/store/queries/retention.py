"""Finds searches whose files can be deleted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Select, select

from search.plan.selection import Point
from search.store.database import now
from search.store.searches import choices
from search.store.tables import searches
from search.vocabulary.states import ENDED


def find_ended(connection: Connection, seconds: float, search_ids: list[str]) -> dict[str, Point | None]:
    """Return those of the given searches that ended at least ``seconds`` ago, with their chosen point.

    Searches with an unfinished child are excluded, because the child may still link their checkpoints.
    """
    waited_for = select(searches.c.parent).where(searches.c.parent.is_not(None), searches.c.status.not_in(ENDED))
    ended = (
        select(searches.c.id)
        .where(searches.c.status.in_(ENDED), searches.c.finished_at <= now() - seconds)
        .where(searches.c.id.not_in(waited_for))
    )
    return {search_id: _read_chosen(connection, search_id) for search_id in _filter_ids(connection, ended, search_ids)}


def find_known(connection: Connection, search_ids: list[str]) -> set[str]:
    """Return those of the given ids that belong to a search."""
    return set(_filter_ids(connection, select(searches.c.id), search_ids))


def _filter_ids(connection: Connection, found: Select[Any], search_ids: list[str]) -> Iterator[str]:
    """Yield those of the given ids that are found, in batches, because statements have limited parameters."""
    for start in range(0, len(search_ids), 500):
        part = found.where(searches.c.id.in_(search_ids[start : start + 500]))
        yield from connection.execute(part).scalars().all()


def _read_chosen(connection: Connection, search_id: str) -> Point | None:
    points = [choice.point for choice in choices(connection, search_id).values()]
    return points[-1] if points else None
