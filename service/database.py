"""The service's database engines, and the dependencies that give a route a connection, the engines or the settings."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import Depends, Request

from search.settings import Settings
from search.store.database import Connection, open_engine
from search.vocabulary.errors import StoreUnavailable
from service.admission import READ_CONNECTIONS, WRITE_CONNECTIONS
from service.route import Later

WRITE_SECONDS = 4.0  # that a request waits for other writers, before it is refused


class Database:
    """A read-only engine and one that may write, over the same database."""

    def __init__(self, settings: Settings) -> None:
        url = settings.database_url
        self.read_engine = open_engine(url, read_only=True, wait_seconds=WRITE_SECONDS, connections=READ_CONNECTIONS)
        self.write_engine = open_engine(url, wait_seconds=WRITE_SECONDS, connections=WRITE_CONNECTIONS)
        self._one_writer = self.write_engine.dialect.name == "sqlite"
        self._write_lock = threading.Lock()

    @contextmanager
    def write(self, wait_seconds: float = WRITE_SECONDS) -> Iterator[Connection]:
        """Begin a transaction that may write. Commit it at the end; roll it back on an error.

        SQLite has one lock for writers, for which they poll every few milliseconds and in no order, so writers of this
        process queue here instead. PostgreSQL locks rows, so there they run side by side.

        Args:
            wait_seconds: for other writers of an SQLite database.

        Raises:
            StoreUnavailable: if others of this process write for longer.
            DatabaseError: if another process does.
        """
        deadline = time.monotonic() + wait_seconds
        with self._turn(wait_seconds), self.write_engine.connect() as connection:
            left = max(0.0, deadline - time.monotonic())
            with connection.execution_options(wait_seconds=left).begin():
                yield connection

    @contextmanager
    def _turn(self, wait_seconds: float) -> Iterator[None]:
        """Wait for the turn to write."""
        if not self._one_writer:
            yield
            return
        if not self._write_lock.acquire(timeout=wait_seconds):
            raise StoreUnavailable(
                f"a request waits {wait_seconds:g} s at most for others to write: got no turn. Try again shortly."
            )
        try:
            yield
        finally:
            self._write_lock.release()

    def close(self) -> None:
        """Close all connections."""
        self.read_engine.dispose()
        self.write_engine.dispose()


async def get_database(request: Request) -> Database:
    """Return the application's database."""
    database: Database = request.app.state.database
    return database


async def get_settings(request: Request) -> Settings:
    """Return the application's settings."""
    settings: Settings = request.app.state.settings
    return settings


AppDatabase = Annotated[Database, Depends(get_database)]


async def get_read_connection(database: AppDatabase) -> Later[Connection]:
    """Return a read-only connection, opened in the thread of the route."""
    return Later(lambda stack: stack.enter_context(database.read_engine.connect()))


LaterConnection = Annotated[Later[Connection], Depends(get_read_connection)]  # for dependencies
ReadConnection = Annotated[Connection, Depends(get_read_connection)]  # for routes
AppSettings = Annotated[Settings, Depends(get_settings)]
