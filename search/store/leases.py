"""Who may run a search: a lease with an epoch, on the database's clock.

A driver takes a search by raising its ``epoch``, and renews until it ends. Every transaction of a driver starts by
reading the epoch (:func:`fence`), so one that lost the search can write nothing, however late it wakes.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import psutil
from sqlalchemy import Connection, Engine, Select, case, func, or_, select, update

from search.store.database import now
from search.store.events import add_event
from search.store.tables import searches
from search.vocabulary.errors import Conflict, Fenced, NotFound
from search.vocabulary.states import ACTIVE, EventKind, Status


@dataclass(frozen=True)
class ProcessIdentity:
    """A process, named so that another on the same host can tell whether it still lives."""

    host: str
    pid: int
    started: float  #: seconds since 1970; tells a reused pid

    @classmethod
    def this_process(cls) -> ProcessIdentity:
        """Name the calling process."""
        return cls(socket.gethostname(), os.getpid(), psutil.Process().create_time())

    @property
    def gone(self) -> bool:
        """Whether the process certainly is gone: it was on this host, and no such process runs here."""
        if self.host != socket.gethostname():
            return False
        try:
            process = psutil.Process(self.pid)
            return bool(process.create_time() != self.started or process.status() == psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return True


@dataclass(frozen=True)
class LeaseHolder(ProcessIdentity):
    """A process that holds a search."""

    seconds_left: float  #: of its lease


@dataclass(frozen=True)
class Lease:
    """The right to write for a search, until somebody raises its epoch."""

    search_id: str
    epoch: int


def acquire(engine: Engine, search_id: str, seconds: float) -> Lease:
    """Take a search for this process by raising its epoch; it is running from then on.

    Raises:
        NotFound: if there is no such search.
        Conflict: if another process holds it, or it neither waits nor runs.
    """
    with engine.begin() as connection:
        row = connection.execute(
            select(
                searches.c.epoch,
                searches.c.status,
                searches.c.holder,
                (searches.c.lease_until > now()).label("held"),
            )
            .where(searches.c.id == search_id)
            .with_for_update(key_share=True)
        ).one_or_none()
        if row is None:
            raise NotFound(f"no search has the id {search_id}. List them with: seqnorm list")
        if row.status not in ACTIVE:
            raise Conflict(f"only a queued or running search can be run: got {search_id}, which is {row.status}.")
        if row.held and not ProcessIdentity(**row.holder).gone:
            raise Conflict(
                f"a search has one driver: got {search_id}, which process {row.holder['pid']} on {row.holder['host']} "
                f"runs. Follow it with: seqnorm watch {search_id}"
            )
        connection.execute(
            update(searches)
            .where(searches.c.id == search_id)
            .values(
                epoch=row.epoch + 1,
                holder=asdict(ProcessIdentity.this_process()),
                lease_until=now() + seconds,
                status=Status.RUNNING,
                reason="",
                started_at=func.coalesce(searches.c.started_at, now()),
            )
        )
        add_event(connection, search_id, EventKind.STATUS, {"status": Status.RUNNING, "reason": ""})
    return Lease(search_id, row.epoch + 1)


def renew(connection: Connection, lease: Lease, seconds: float) -> None:
    """Hold a search for ``seconds`` more. The engine's fence refuses it to whoever lost the lease."""
    connection.execute(update(searches).where(searches.c.id == lease.search_id).values(lease_until=now() + seconds))


def release(connection: Connection, lease: Lease) -> None:
    """Let a search go, so that another may take it at once. The epoch stays, so late writes are still refused."""
    connection.execute(
        update(searches)
        .where(searches.c.id == lease.search_id, searches.c.epoch == lease.epoch)
        .values(holder=None, lease_until=None)
    )


def fence(lease: Lease) -> Callable[[Connection], None]:
    """Return the check that every transaction of the lease's driver starts with.

    On PostgreSQL the row stays share-locked until the transaction ends, so nobody takes the search over in the middle
    of it; on SQLite ``BEGIN IMMEDIATE`` has the same effect.
    """
    statement = select(searches.c.epoch).where(searches.c.id == lease.search_id).with_for_update(read=True)

    def check(connection: Connection) -> None:
        epoch = connection.execute(statement).scalar_one_or_none()
        if epoch != lease.epoch:
            raise Fenced(
                f"search {lease.search_id} was taken over: this driver has epoch {lease.epoch}, it is now {epoch}."
            )

    return check


def order_by_turn(statement: Select[Any]) -> Select[Any]:
    """Put searches in the order in which they are run.

    By priority; then the owner with the fewest running, of those who has been served the longest ago; then by age. So a
    thousand searches of one owner hold another's up for one at the most. What has lost its driver has had its turn.
    """
    others = searches.alias()
    held = (others.c.status == Status.RUNNING) & (others.c.lease_until > now())
    owners = (
        select(
            others.c.owner,
            func.count().filter(held).label("running"),
            func.coalesce(func.max(others.c.started_at), 0.0).label("served_at"),
        )
        .group_by(others.c.owner)
        .subquery()
    )
    served_at = case((searches.c.status == Status.RUNNING, 0.0), else_=owners.c.served_at)
    return statement.join(owners, owners.c.owner == searches.c.owner).order_by(
        searches.c.priority.desc(), owners.c.running, served_at, searches.c.created_at
    )


def next_claimable(connection: Connection) -> str | None:
    """Return the first search that waits for a driver: queued, or running under a lease that ended."""
    waiting = select(searches.c.id).where(
        or_(
            searches.c.status == Status.QUEUED,
            (searches.c.status == Status.RUNNING)
            & ((searches.c.lease_until <= now()) | searches.c.lease_until.is_(None)),
        )
    )
    return connection.execute(order_by_turn(waiting).limit(1)).scalar_one_or_none()


def find_holder(connection: Connection, search_id: str) -> LeaseHolder | None:
    """Return the process that holds a search, with the seconds its lease has left; None if nobody does."""
    row = connection.execute(
        select(searches.c.holder, (searches.c.lease_until - now()).label("left")).where(searches.c.id == search_id)
    ).one_or_none()
    if row is None or row.holder is None or row.left <= 0 or ProcessIdentity(**row.holder).gone:
        return None
    return LeaseHolder(**row.holder, seconds_left=row.left)
