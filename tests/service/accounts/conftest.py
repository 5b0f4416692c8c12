"""A database with accounts, SQLite and PostgreSQL in turn, and what the tests of accounts do with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, insert

from search.store import tables
from search.store.database import now, open_engine
from search.store.schema import upgrade
from service import accounts
from service.accounts import Token

DAY = 24 * 3600


@pytest.fixture
def engine(database_url: str) -> Engine:
    upgrade(database_url)
    return open_engine(database_url)


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.begin() as connection:
        yield connection


def create(connection: Connection, **changes: Any) -> tuple[Token, str]:
    asked = {"name": "laptop", "owner": "ada", "scopes": ["read", "submit"], "lifetime": None}
    return accounts.create_token(connection, **asked | changes)


@contextmanager
def failing(engine: Engine) -> Iterator[Connection]:
    """Begin a transaction that is undone."""
    with engine.connect() as connection, connection.begin() as transaction:
        yield connection
        transaction.rollback()


def at_once(number: int, function: Callable[[], Any]) -> list[Any]:
    """Call a function in many threads, which start it together; return what each call returned."""
    barrier = threading.Barrier(number)

    def call(_: int) -> Any:
        barrier.wait()
        return function()

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(call, range(number)))


def add_search(connection: Connection, search_id: str) -> None:
    connection.execute(
        insert(tables.searches).values(
            id=search_id, created_at=now(), owner="ada", name="kept", note="", tags=["a"], recipe="planted",
            strategy="grid", spec={"recipe": "planted", "gm": [1], "gc": [1]}, digest={}, planned=1, status="queued",
            reason="", priority=0, retried_upto=0, epoch=0,
        )
    )  # fmt: skip
