"""Leases: who may run a search, with an epoch as fencing token, on the database's clock.

A driver acquires a search by increasing its ``epoch``, and renews the lease until it ends. Every transaction of a
driver starts by reading the epoch (:func:`fence`), so a driver that lost the search can never write again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Select, case, func, null, select, update

from search.plan.lifecycle import Event
from search.store import transitions
from search.store.binding import Binding
from search.store.database import now
from search.store.processes import ProcessIdentity
from search.store.tables import searches
from search.vocabulary.errors import Conflict, Fenced
from search.vocabulary.states import ACTIVE, Status


@dataclass(frozen=True)
class LeaseHolder(ProcessIdentity):
    """A process that holds a lease."""

    seconds_left: float = 0.0  #: until its lease expires


@dataclass(frozen=True)
class Lease:
    """The right to write to a search, until its epoch is increased."""

    search_id: str
    epoch: int


def acquire(engine: Engine, search_id: str, seconds: float) -> Lease:
    """Acquire the lease of a search for this process; its status becomes running.

    A request that its last driver did not carry out is carried out instead.

    Raises:
        NotFound: if no search has that id.
        Conflict: if another process holds the lease, or the search is neither queued nor running, or a request was
            carried out, or the search is bound to another host or user.
    """
    with engine.begin() as connection:
        of_search = select(searches.c.bound, searches.c.command).where(searches.c.id == search_id)
        row = connection.execute(of_search).one_or_none()
        if row and (bound := Binding.of(*row)):
            bound.require_here(search_id)
        claimed = transitions.apply(connection, search_id, Event.CLAIM)
        if claimed.status == Status.RUNNING:
            return hold(connection, search_id, seconds)
    raise Conflict(f"only a queued or running search can be run: got {search_id}, which is {claimed.status} now.")


def hold(connection: Connection, search_id: str, seconds: float) -> Lease:
    """Give the lease of a search to this process, after its epoch was raised."""
    values = {
        "holder": asdict(ProcessIdentity.this_process()),
        "lease_until": now() + seconds,
        "started_at": func.coalesce(searches.c.started_at, now()),
    }
    held = update(searches).where(searches.c.id == search_id).values(values).returning(searches.c.epoch)
    return Lease(search_id, connection.execute(held).scalar_one())


def renew(connection: Connection, lease: Lease, seconds: float) -> None:
    """Extend a lease to ``seconds`` from now, unless it is released. The engine's fence raises if the lease is lost."""
    held = update(searches).where(searches.c.id == lease.search_id, searches.c.holder.is_not(null()))
    connection.execute(held.values(lease_until=now() + seconds))


def release(connection: Connection, lease: Lease) -> None:
    """Release a lease, so that another process can acquire it. The epoch stays, so late writes are still refused."""
    connection.execute(
        update(searches)
        .where(searches.c.id == lease.search_id, searches.c.epoch == lease.epoch)
        .values(holder=None, lease_until=None)
    )


def expire(connection: Connection, lease: Lease) -> None:
    """End a lease whose holder goes on no more, and keep the holder: its trials have not ended."""
    connection.execute(
        update(searches)
        .where(searches.c.id == lease.search_id, searches.c.epoch == lease.epoch)
        .values(lease_until=None)
    )


def fence(lease: Lease) -> Callable[[Connection], None]:
    """Return the check that runs at the start of every transaction of a driver.

    On PostgreSQL it locks the row until the transaction ends, so nobody can take over the search in between; on SQLite
    ``BEGIN IMMEDIATE`` has the same effect. A shared lock would not do: two threads of a driver that both hold it and
    then both write the row wait for each other.
    """
    statement = select(searches.c.epoch).where(searches.c.id == lease.search_id).with_for_update(key_share=True)

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


def next_claimable(connection: Connection, taken: Collection[str] = ()) -> str | None:
    """Return the next search that needs a driver, queued or running with an expired lease; ``taken`` ones have one.

    Those bound to other hosts and users are theirs.
    """
    lapsed = (searches.c.lease_until <= now()) | searches.c.lease_until.is_(None)
    waiting = select(searches.c.id).where(
        searches.c.status.in_(ACTIVE),
        lapsed,  # a queued search is held while its trials are ended
        searches.c.id.not_in(taken),
        Binding.here().is_claimable,
    )
    return connection.execute(order_by_turn(waiting).limit(1)).scalar_one_or_none()


def read_holder(connection: Connection, search_id: str) -> int | None:
    """Return the process id of the last holder of a search, alive or not; None if it was released."""
    holder = connection.execute(select(searches.c.holder).where(searches.c.id == search_id)).scalar()
    return None if holder is None else int(holder["pid"])


def find_holder(connection: Connection, search_id: str) -> LeaseHolder | None:
    """Return the process that holds the lease of a search; None if the lease is free or its process has ended."""
    row = connection.execute(
        select(searches.c.holder, (searches.c.lease_until - now()).label("left")).where(searches.c.id == search_id)
    ).one_or_none()
    if row is None or row.holder is None or row.left is None or row.left <= 0:
        return None
    holder = ProcessIdentity.parse(row.holder)
    return None if holder.has_exited else LeaseHolder(**asdict(holder), seconds_left=row.left)
