"""Applies events to searches: reads what decides, lets the state machine decide, and writes it, in one transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, Select, select, update

from search.plan.lifecycle import Change, Event, NotAllowed, State, change
from search.store.database import now
from search.store.events import add_event
from search.store.processes import ProcessIdentity
from search.store.tables import searches
from search.vocabulary.errors import Conflict, NotFound
from search.vocabulary.states import ACTIVE, EventKind, Status

DECISIVE = select(  # what decides about a search
    searches.c.id,
    searches.c.status,
    searches.c.requested_status,
    searches.c.epoch,
    searches.c.holder,
    (searches.c.lease_until > now()).label("live"),
)


def apply(connection: Connection, search_id: str, event: Event, reason: str = "") -> Change:
    """Apply an event to a search, whose row stays locked until the transaction ends.

    Raises:
        NotFound: if no search has that id.
        Conflict: if the event is impossible in its state.
    """
    row = lock(connection, search_id)
    effect = _decide(row, event)
    if effect.fences:
        fence_out(connection, row)
    if effect.status != row.status:
        by_person = effect.status == row.requested_status or event in (Event.PAUSE, Event.CANCEL)
        set_status(connection, search_id, effect.status, f"{effect.status} by a person" if by_person else reason)
    elif effect.requested != row.requested_status:
        connection.execute(update(searches).where(searches.c.id == search_id).values(requested_status=effect.requested))
        add_event(connection, search_id, EventKind.REQUESTED, {"requested_status": effect.requested})
    return effect


def check(connection: Connection, search_id: str, event: Event) -> None:
    """Check that an event is possible now, without applying it.

    Raises:
        NotFound, Conflict: as in :func:`apply`.
    """
    _decide(_read(connection, search_id, DECISIVE), event)


def lock(connection: Connection, search_id: str) -> Row[Any]:
    """Read what decides about a search, and lock its row until the transaction ends.

    Raises:
        NotFound: if no search has that id.
    """
    return _read(connection, search_id, DECISIVE.with_for_update(key_share=True))


def _read(connection: Connection, search_id: str, statement: Select[Any]) -> Row[Any]:
    found = is_valid(search_id)
    row = connection.execute(statement.where(searches.c.id == search_id)).one_or_none() if found else None
    if row is None:
        raise not_found(search_id)
    return row


def is_valid(search_id: str) -> bool:
    """Return whether a search can have this id: PostgreSQL raises on some other strings."""
    return search_id.isascii() and search_id.isalnum()


def not_found(search_id: str) -> NotFound:
    """Return the exception for an id that no search has."""
    return NotFound(f"no search has the id {search_id!r}. List them with: seqnorm list")


def is_held(row: Row[Any]) -> bool:
    """Return whether the holder's lease has not expired and its process has not exited."""
    return bool(row.holder and row.live and not ProcessIdentity.parse(row.holder).has_exited)


def fence_out(connection: Connection, row: Row[Any]) -> None:
    """Raise the epoch, so that the last driver can write no more. The holder stays until its trials are ended."""
    values = {"epoch": row.epoch + 1, "lease_until": None}
    connection.execute(update(searches).where(searches.c.id == row.id).values(values))


def set_status(connection: Connection, search_id: str, status: Status, reason: str) -> None:
    """Set the status of a search, and add an event."""
    finished_at = now() if status.ended else None
    connection.execute(
        update(searches)
        .where(searches.c.id == search_id)
        .values(status=status, reason=reason, requested_status=None, finished_at=finished_at)
    )
    add_event(connection, search_id, EventKind.STATUS, {"status": status, "reason": reason})


def _decide(row: Row[Any], event: Event) -> Change:
    requested = Status(row.requested_status) if row.requested_status else None
    try:
        return change(State(status=Status(row.status), requested=requested, held=is_held(row)), event)
    except NotAllowed as error:
        raise Conflict(_refuse(str(error), row, event)) from None


def _refuse(rule: str, row: Row[Any], event: Event) -> str:
    if event == Event.CLAIM and row.holder and is_held(row):
        holder = ProcessIdentity.parse(row.holder)
        return (
            f"{rule}: got {row.id}, which process {holder.pid} on {holder.host} runs. "
            f"Follow it with: seqnorm watch {row.id}"
        )
    return f"{rule}: got {row.id}, which is {row.status}. {_remedy(row, event)}".rstrip()


def _remedy(row: Row[Any], event: Event) -> str:
    """Return what a person can do instead."""
    if event == Event.ARCHIVE:
        return f"End it first: seqnorm cancel {row.id}"
    if event == Event.RETRY and row.status in ACTIVE:
        return f"Follow it with: seqnorm watch {row.id}"
    if event in (Event.RESUME, Event.RETRY, Event.PAUSE, Event.CANCEL):
        return f"See what it has found with: seqnorm show {row.id}"
    return ""
