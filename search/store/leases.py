"""Leases: who may run a search, with an epoch as fencing token, on the database's clock.

A driver acquires a search by increasing its ``epoch``, and renews the lease until it ends. Every transaction of a
driver starts by reading the epoch (:func:`fence`), so a driver that lost the search can never write again.
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
    """Identifies a process, so that others on the same host can check whether it is alive."""

    host: str
    pid: int
    started: float  #: seconds since 1970; detects a reused pid

    @classmethod
    def this_process(cls) -> ProcessIdentity:
        """Return the identity of the calling process."""
        return cls(socket.gethostname(), os.getpid(), psutil.Process().create_time())

    @property
    def has_exited(self) -> bool:
        """Whether the process has certainly ended: it was on this host and does not run any more."""
        if self.host != socket.gethostname():
            return False
        try:
            process = psutil.Process(self.pid)
            return bool(process.create_time() != self.started or process.status() == psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return True


@dataclass(frozen=True)
class LeaseHolder(ProcessIdentity):
    """A process that holds a lease."""

    seconds_left: float  #: until its lease expires


@dataclass(frozen=True)
class Lease:
    """The right to write to a search, until its epoch is increased."""

    search_id: str
    epoch: int


def acquire(engine: Engine, search_id: str, seconds: float) -> Lease:
    """Acquire the lease of a search for this process; its status becomes running.

    Raises:
        NotFound: if no search has that id.
        Conflict: if another process holds the lease, or the search is neither queued nor running.
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
        if row.held and not ProcessIdentity(**row.holder).has_exited:
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
    """Extend a lease to ``seconds`` from now. The engine's fence raises if the lease is lost."""
    connection.execute(update(searches).where(searches.c.id == lease.search_id).values(lease_until=now() + seconds))


def release(connection: Connection, lease: Lease) -> None:
    """Release a lease, so that another process can acquire it. The epoch stays, so late writes are still refused."""
    connection.execute(
        update(searches)
        .where(searches.c.id == lease.search_id, searches.c.epoch == lease.epoch)
        .values(holder=None, lease_until=None)
    )


def fence(lease: Lease) -> Callable[[Connection], None]:
    """Return the check that runs at the start of every transaction of a driver.

    On PostgreSQL it share-locks the row until the transaction ends, so nobody can take over the search in between; on
    SQLite ``BEGIN IMMEDIATE`` has the same effect.
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
    """Order searches by when they run: priority, then fair sharing between owners, then age.

    First comes the owner with the fewest running searches; among equals, the one served longest ago. So a thousand
    searches of one owner delay another owner by at most one search. A search that lost its driver keeps its turn.
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
    """Return the next search that needs a driver: queued, or running with an expired lease."""
    waiting = select(searches.c.id).where(
        or_(
            searches.c.status == Status.QUEUED,
            (searches.c.status == Status.RUNNING)
            & ((searches.c.lease_until <= now()) | searches.c.lease_until.is_(None)),
        )
    )
    return connection.execute(order_by_turn(waiting).limit(1)).scalar_one_or_none()


def find_holder(connection: Connection, search_id: str) -> LeaseHolder | None:
    """Return the process that holds the lease of a search; None if the lease is free or its process has ended."""
    row = connection.execute(
        select(searches.c.holder, (searches.c.lease_until - now()).label("left")).where(searches.c.id == search_id)
    ).one_or_none()
    if row is None or row.holder is None or row.left <= 0 or ProcessIdentity(**row.holder).has_exited:
        return None
    return LeaseHolder(**row.holder, seconds_left=row.left)
