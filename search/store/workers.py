"""Workers and their heartbeats."""

from __future__ import annotations

import os
import secrets
import socket

from sqlalchemy import Connection, delete, insert, select, update

from search.store.database import now
from search.store.tables import workers
from search.views import WorkerView

ALIVE_SECONDS = 20.0  # since the last heartbeat
FORGOTTEN_SECONDS = 3600.0


def register(connection: Connection) -> str:
    """Register this process as a worker; return its id. Remove workers that died long ago."""
    worker_id = secrets.token_hex(16)
    connection.execute(delete(workers).where(workers.c.seen_at < now() - FORGOTTEN_SECONDS))
    connection.execute(
        insert(workers).values(
            id=worker_id, host=socket.gethostname(), pid=os.getpid(), started_at=now(), seen_at=now()
        )
    )
    return worker_id


def heartbeat(connection: Connection, worker_id: str, search_id: str | None) -> None:
    """Store a heartbeat of a worker, and the search that it runs."""
    connection.execute(update(workers).where(workers.c.id == worker_id).values(seen_at=now(), search_id=search_id))


def unregister(connection: Connection, worker_id: str) -> None:
    """Remove a worker."""
    connection.execute(delete(workers).where(workers.c.id == worker_id))


def list_alive(connection: Connection) -> list[WorkerView]:
    """Return the live workers, oldest first."""
    lately = workers.c.seen_at >= now() - ALIVE_SECONDS
    rows = connection.execute(select(workers).where(lately).order_by(workers.c.started_at))
    return [
        WorkerView(
            id=row.id,
            host=row.host,
            pid=row.pid,
            started_at=row.started_at,
            seen_at=row.seen_at,
            busy=row.search_id is not None,
            search=row.search_id,
        )
        for row in rows
    ]
