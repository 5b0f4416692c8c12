"""The service's two ways into the database, and the connection that a route gets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Annotated, Any

from fastapi import Depends, Request

from search.settings import Settings
from search.store.database import Connection, open_engine


class Stores:
    """An engine that reads, and one that writes."""

    def __init__(self, settings: Settings) -> None:
        self.reading = open_engine(settings.database_url, read_only=True)
        self.writing = open_engine(settings.database_url)
        alone = self.writing.dialect.name == "sqlite"
        self._turn: AbstractContextManager[Any] = threading.Lock() if alone else nullcontext()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Begin a transaction that may write; it is committed at the end, and undone by an error.

        One at a time on SQLite, which has one lock for writers anyway: those who wait for it in the database look only
        every few milliseconds, and in no order. PostgreSQL locks the rows that are written.
        """
        with self._turn, self.writing.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self.reading.dispose()
        self.writing.dispose()


def stores_of(request: Request) -> Stores:
    """Return the service's stores."""
    stores: Stores = request.app.state.stores
    return stores


def settings_of(request: Request) -> Settings:
    """Return the service's settings."""
    settings: Settings = request.app.state.settings
    return settings


def connection(request: Request) -> Iterator[Connection]:
    """Give a route a connection of its own, that reads."""
    with stores_of(request).reading.connect() as opened:
        yield opened


Reading = Annotated[Connection, Depends(connection, scope="function")]
Store = Annotated[Stores, Depends(stores_of)]
Configured = Annotated[Settings, Depends(settings_of)]
