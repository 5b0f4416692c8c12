"""Opens the database: migrates it and recovers searches whose driver is lost."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, select

from search.store import leases, searches, tables
from search.store.database import Url, open_engine, parse_url
from search.store.schema import upgrade
from search.vocabulary.errors import Conflict, StoreUnavailable
from search.vocabulary.secret import reveal
from search.vocabulary.states import Status


def open_store(url: Url, *, create: bool = False) -> Engine:
    """Migrate a database, recover abandoned searches, and return a writing engine.

    Raises:
        StoreUnavailable: if it cannot be opened, or does not exist and ``create`` is false.
    """
    parsed = parse_url(url) if "://" in reveal(url) else None
    if not create and parsed and parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").exists():
        raise StoreUnavailable(
            f"the database must exist: got {parsed.database}. Name it with --home DIR or --db URL, or start a search."
        )
    upgrade(url)
    engine = open_engine(url)
    for search_id in _abandoned(engine):
        recover_abandoned(url, engine, search_id, Status.QUEUED, "its driver was lost")
    return engine


def _abandoned(engine: Engine) -> list[str]:
    """Return the searches with status running whose lease has expired or whose process has ended."""
    with engine.connect() as connection:
        running = select(tables.searches.c.id).where(tables.searches.c.status == Status.RUNNING)
        ids = connection.execute(running).scalars().all()
        return [search_id for search_id in ids if leases.find_holder(connection, search_id) is None]


def recover_abandoned(url: Url, engine: Engine, search_id: str, status: Status, reason: str) -> None:
    """Acquire an abandoned search, end its running trials as lost, and set its status."""
    from search.store.trials import TrialStore  # imports Optuna

    try:
        lease = leases.acquire(engine, search_id, 30)
    except Conflict:  # another process was faster
        return
    trials = TrialStore(url, lease, "max")
    trials.end_running(search_id, "its driver was lost")
    trials.close()
    with engine.begin() as connection:
        searches.set_status(connection, search_id, status, reason)
        leases.release(connection, lease)


def mark_paused(url: Url, engine: Engine, search_id: str, reason: str) -> None:
    """Pause a search whose driver was stopped, whatever status the driver has written."""
    with engine.connect() as connection:
        search = searches.get(connection, search_id)
    if search.status == Status.RUNNING:
        recover_abandoned(url, engine, search_id, Status.PAUSED, reason)
    elif search.status == Status.QUEUED:
        with engine.begin() as connection:
            searches.set_status(connection, search_id, Status.PAUSED, reason)
