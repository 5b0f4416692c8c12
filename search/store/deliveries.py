"""Webhook deliveries, stored until their target has accepted them.

Code that writes a search's status only adds an event. Senders look for events without a delivery to their target. They
keep no position in the events, because ids of different searches are not committed in order.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, exists, func, literal_column, select, update

from search.store.database import now
from search.store.tables import deliveries, events, webhooks
from search.store.upsert import insert_or_ignore, upsert
from search.vocabulary.states import Status

NOTIFIED_STATUSES = (Status.DONE, Status.FAILED, Status.CANCELLED, Status.PAUSED)
DELIVERY_STATES = ("waiting", "delivered", "given_up")
DAY_SECONDS = 86400.0
EVENT_SECONDS = 3 * DAY_SECONDS  # older events are not sent; a weekend without a worker loses nothing
RETENTION_SECONDS = 30 * DAY_SECONDS  # of deliveries; longer than EVENT_SECONDS, or events would be sent twice
TARGET_SECONDS = 7 * DAY_SECONDS  # without a sender a target is removed; longer than all attempts and a weekend


@dataclass(frozen=True, kw_only=True)
class PendingEvent:
    """An event without a delivery to a target."""

    event_id: int
    search_id: str
    at: float
    status: Status
    reason: str


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A delivery that is claimed by a sender for some time."""

    event_id: int
    target: str
    search_id: str
    body: str
    attempts: int  #: including this one

    @property
    def id(self) -> str:
        """Its id, the same for every attempt."""
        return str(json.loads(self.body)["id"])


def register_target(connection: Connection, target: str) -> None:
    """Register a sender's target; a new target gets events from now on. Remove old targets and deliveries."""
    upsert(connection, webhooks, {"target": target, "since": now(), "seen_at": now()}, ("seen_at",))
    known = select(webhooks.c.target)
    connection.execute(delete(webhooks).where(webhooks.c.seen_at < now() - TARGET_SECONDS))
    connection.execute(
        update(deliveries)
        .where(deliveries.c.state == "waiting", deliveries.c.target.not_in(known))
        .values(state="given_up", said="nobody sends to its target any more")
    )
    connection.execute(delete(deliveries).where(deliveries.c.created_at < now() - RETENTION_SECONDS))


def find_pending(connection: Connection, target: str, limit: int = 100) -> list[PendingEvent]:
    """Return the events without a delivery to a target, oldest first."""
    status = events.c.detail["status"].as_string()
    rows = connection.execute(
        select(events.c.id, events.c.search_id, events.c.at, events.c.detail)
        .join(webhooks, webhooks.c.target == target)
        .where(
            events.c.kind == literal_column("'status'"),  # a literal, to match the partial index
            events.c.at >= webhooks.c.since,
            events.c.at > now() - EVENT_SECONDS,
            status.in_(NOTIFIED_STATUSES),
            ~exists().where(deliveries.c.event_id == events.c.id, deliveries.c.target == target),
        )
        .order_by(events.c.at, events.c.id)
        .limit(limit)
    )
    return [
        PendingEvent(
            event_id=row.id,
            search_id=row.search_id,
            at=row.at,
            status=Status(row.detail["status"]),
            reason=row.detail.get("reason", ""),
        )
        for row in rows
    ]


def add_pending(connection: Connection, target: str, found: Iterable[tuple[PendingEvent, str]]) -> None:
    """Store deliveries with their bodies; existing ones are kept."""
    for item, body in found:
        row = {
            **{"event_id": item.event_id, "target": target, "search_id": item.search_id, "body": body},
            **{"created_at": now(), "attempts": 0, "next_at": now(), "state": "waiting", "said": ""},
        }
        connection.execute(insert_or_ignore(connection, deliveries).values(**row))


def is_due(connection: Connection, target: str) -> bool:
    """Return whether a delivery to a target is due."""
    return connection.execute(select(deliveries.c.event_id).where(_due(target)).limit(1)).first() is not None


def claim(connection: Connection, target: str, seconds: float) -> Delivery | None:
    """Claim the oldest due delivery for ``seconds``; None if none is due."""
    first = select(deliveries).where(_due(target)).order_by(deliveries.c.next_at, deliveries.c.event_id).limit(1)
    row = connection.execute(first).one_or_none()
    if row is None:
        return None
    taken = connection.execute(
        update(deliveries)
        .where(_due(target), deliveries.c.event_id == row.event_id)
        .values(next_at=now() + seconds, attempts=row.attempts + 1)
    )
    if taken.rowcount == 0:  # another sender claimed it
        return None
    return Delivery(
        event_id=row.event_id, target=target, search_id=row.search_id, body=row.body, attempts=row.attempts + 1
    )


def mark_delivered(connection: Connection, delivery: Delivery, said: str) -> None:
    """Store that a target has accepted a delivery."""
    connection.execute(update(deliveries).where(_of(delivery)).values(state="delivered", said=said))


def mark_failed(connection: Connection, delivery: Delivery, said: str, wait: float | None) -> None:
    """Store why a delivery failed; it is due again in ``wait`` seconds, or given up if that is None.

    Nothing is stored if the claim has expired and another sender has claimed the delivery.
    """
    mine = (deliveries.c.attempts == delivery.attempts) & (deliveries.c.state == "waiting")
    state = "given_up" if wait is None else "waiting"
    connection.execute(
        update(deliveries).where(_of(delivery), mine).values(state=state, said=said, next_at=now() + (wait or 0.0))
    )


def count_by_state(connection: Connection) -> dict[str, int]:
    """Count deliveries by state."""
    rows = connection.execute(select(deliveries.c.state, func.count().label("n")).group_by(deliveries.c.state))
    return dict.fromkeys(DELIVERY_STATES, 0) | {row.state: row.n for row in rows}


def _due(target: str) -> ColumnElement[bool]:
    row = deliveries.c
    return (row.target == target) & (row.state == "waiting") & (row.next_at <= now())


def _of(delivery: Delivery) -> ColumnElement[bool]:
    return (deliveries.c.event_id == delivery.event_id) & (deliveries.c.target == delivery.target)
