"""What drivers, workers and sweepers do to a search, each by the product's own functions, without a process of its own.

With `people.py` the one place that names these functions.
"""

from __future__ import annotations

from search.engine.recorder import Recorder
from search.plan.lifecycle import Event
from search.store import leases, recovery, searches, transitions
from search.store.database import Engine
from tests.search.stored import open_recorder

LEASE_SECONDS = 600.0  # ended by :func:`expire`, so that no race depends on how fast a host is
ENDINGS = {
    "finish": Event.FINISH,
    "fail": Event.FAIL,
    "give up": Event.GIVE_UP,
    "interrupt": Event.INTERRUPT,
    "leave": Event.LEAVE,
}


def claim(engine: Engine, url: str) -> Recorder | None:
    """Take the search whose turn it is, as a worker and its driver do.

    Raises:
        Conflict: if somebody else was quicker.
    """
    with engine.connect() as connection:
        search_id = leases.next_claimable(connection)
    return None if search_id is None else open_recorder(url, search_id, LEASE_SECONDS)


def keep_lease(recorder: Recorder) -> str | None:
    """Renew the lease; return what is requested."""
    lease = lease_of(recorder)
    with recorder.engine.begin() as connection:
        leases.renew(connection, lease, LEASE_SECONDS)
        return searches.get(connection, lease.search_id).requested_status


def leave(recorder: Recorder, ending: str) -> None:
    """End the life of a driver."""
    lease = lease_of(recorder)
    with recorder.engine.begin() as connection:
        transitions.apply(connection, lease.search_id, ENDINGS[ending], f"planted: {ending}")
        leases.release(connection, lease)
    recorder.close()


def expire(engine: Engine, recorder: Recorder) -> None:
    """Let the time of a lease pass, unless somebody else has the search by now."""
    lease = lease_of(recorder)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            f"UPDATE searches SET lease_until = 1 WHERE id = '{lease.search_id}' AND epoch = {lease.epoch} "
            "AND lease_until IS NOT NULL"
        )


def sweep(engine: Engine, url: str) -> None:
    """Recover what drivers have left, as each worker and service does."""
    recovery.recover(url, engine, thorough=True)


def abandon(engine: Engine, url: str, search_id: str) -> None:
    """Give a search up whose drivers keep dying, as its worker does."""
    recovery.recover_search(url, engine, search_id, Event.ABANDON, "planted: its drivers keep dying")


def lease_of(recorder: Recorder) -> leases.Lease:
    return leases.Lease(recorder._search_id, recorder._epoch)
