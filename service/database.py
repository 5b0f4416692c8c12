"""The service's database engines, and the dependencies that give a route a connection, the engines or the settings."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Annotated, Any

from fastapi import Depends, Request

from search.settings import Settings
from search.store.database import Connection, open_engine


class Database:
    """A read-only engine and one that may write, over the same database."""

    def __init__(self, settings: Settings) -> None:
        self.read_engine = open_engine(settings.database_url, read_only=True)
        self.write_engine = open_engine(settings.database_url)
        one_writer = self.write_engine.dialect.name == "sqlite"
        self._write_lock: AbstractContextManager[Any] = threading.Lock() if one_writer else nullcontext()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Begin a transaction that may write. Commit it at the end; roll it back on an error.

        SQLite has one lock for writers, for which they poll every few milliseconds and in no order, so writers of this
        process queue here instead. PostgreSQL locks rows, so there they run side by side.
        """
        with self._write_lock, self.write_engine.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self.read_engine.dispose()
        self.write_engine.dispose()


def get_database(request: Request) -> Database:
    """Return the application's database."""
    database: Database = request.app.state.database
    return database


def get_settings(request: Request) -> Settings:
    """Return the application's settings."""
    settings: Settings = request.app.state.settings
    return settings


def get_read_connection(request: Request) -> Iterator[Connection]:
    """Open a read-only connection for one route."""
    with get_database(request).read_engine.connect() as connection:
        yield connection


ReadConnection = Annotated[Connection, Depends(get_read_connection, scope="function")]
AppDatabase = Annotated[Database, Depends(get_database)]
AppSettings = Annotated[Settings, Depends(get_settings)]
