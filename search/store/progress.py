"""The projection of running trials for lists and pages: how far they are. Written by the driver every few seconds."""

from __future__ import annotations

from sqlalchemy import Connection, delete, update

from search.store.events import add_event
from search.store.tables import events, searches
from search.views import EpochProgress
from search.vocabulary.states import EventKind


def save(connection: Connection, search_id: str, running: EpochProgress | None, replaces: int | None = None) -> int:
    """Store how far the running trials are, and wake up who follows the search; return the event's id.

    An event of this kind replaces the last one: a search has one, however long it runs. The new one is added first,
    as SQLite would give it the id of one that is deleted before.
    """
    stored = running.model_dump(mode="json") if running else None
    connection.execute(update(searches).where(searches.c.id == search_id).values(running=stored))
    event_id = add_event(connection, search_id, EventKind.PROGRESS, {})
    if replaces is not None:
        connection.execute(delete(events).where(events.c.id == replaces))
    return event_id


def clear(connection: Connection, search_id: str) -> None:
    """Forget what the last driver stored."""
    connection.execute(update(searches).where(searches.c.id == search_id).values(running=None))


def estimate_seconds_left(
    planned: int, finished: int, running: EpochProgress | None, seconds: float, slots: int
) -> float:
    """Estimate the time left of a search.

    Args:
        planned: number of its trials.
        finished: how many have ended.
        running: how far those are that run.
        seconds: duration of a trial.
        slots: number of trials that run at the same time, unless fewer are left.
    """
    left = max(0, planned - finished)
    done = running.done if running else 0.0
    return seconds * max(0.0, left - done) / max(1, min(slots, left))
