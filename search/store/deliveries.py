"""What targets outside are still to be told of searches, kept until they have taken it.

Nobody who writes a search's status has to know of targets: its event is what is told. Whoever sends looks for events
that a target has no delivery of. It goes by no position, as ids of different searches are not committed in their order.
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
EVENT_SECONDS = 3 * DAY_SECONDS  # what is older is no news; a weekend without any worker loses nothing
RETENTION_SECONDS = 30 * DAY_SECONDS  # deliveries; longer than events are looked for, or they would be sent again
TARGET_SECONDS = (
    7 * DAY_SECONDS
)  # without a sender; a target is forgotten then. Longer than all attempts, and than any weekend


@dataclass(frozen=True, kw_only=True)
class PendingEvent:
    """An event that a target is still to be told."""

    event_id: int
    search_id: str
    at: float
    status: Status
    reason: str


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """Something to send, claimed for a while."""

    event_id: int
    target: str
    search_id: str
    body: str
    attempts: int  #: this one included

    @property
    def id(self) -> str:
        """The same at every attempt."""
        return str(json.loads(self.body)["id"])


def register_target(connection: Connection, target: str) -> None:
    """Note that somebody sends to a target: a new one is told what happens from now on. Forget what is long over."""
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
    """Return the events that a target has no delivery of, oldest first."""
    status = events.c.detail["status"].as_string()
    rows = connection.execute(
        select(events.c.id, events.c.search_id, events.c.at, events.c.detail)
        .join(webhooks, webhooks.c.target == target)
        .where(
            events.c.kind == literal_column("'status'"),  # as the index has it
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
    """Store what a target is to be told, with the text to send; what another sender has stored stays."""
    for item, body in found:
        row = {
            **{"event_id": item.event_id, "target": target, "search_id": item.search_id, "body": body},
            **{"created_at": now(), "attempts": 0, "next_at": now(), "state": "waiting", "said": ""},
        }
        connection.execute(insert_or_ignore(connection, deliveries).values(**row))


def is_due(connection: Connection, target: str) -> bool:
    """Tell whether there is something to send."""
    return connection.execute(select(deliveries.c.event_id).where(_due(target)).limit(1)).first() is not None


def claim(connection: Connection, target: str, seconds: float) -> Delivery | None:
    """Take the delivery that waits longest for ``seconds``, in which nobody else sends it; None if there is none."""
    first = select(deliveries).where(_due(target)).order_by(deliveries.c.next_at, deliveries.c.event_id).limit(1)
    row = connection.execute(first).one_or_none()
    if row is None:
        return None
    taken = connection.execute(
        update(deliveries)
        .where(_due(target), deliveries.c.event_id == row.event_id)
        .values(next_at=now() + seconds, attempts=row.attempts + 1)
    )
    if taken.rowcount == 0:  # another sender was quicker
        return None
    return Delivery(
        event_id=row.event_id, target=target, search_id=row.search_id, body=row.body, attempts=row.attempts + 1
    )


def mark_delivered(connection: Connection, delivery: Delivery, said: str) -> None:
    """Store that a target has taken a delivery."""
    connection.execute(update(deliveries).where(_of(delivery)).values(state="delivered", said=said))


def mark_failed(connection: Connection, delivery: Delivery, said: str, wait: float | None) -> None:
    """Store why a target has not taken a delivery; it is due again in ``wait`` seconds, or given up with None.

    Nothing is stored where the claim had lapsed and another sender has taken the delivery since.
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
