"""Each worker says now and then that it is there."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from sqlalchemy import select, update

from search.settings import Settings
from search.store import tables, workers
from search.store.database import Connection, now, open_engine
from tests.search.stored import prepare


@pytest.fixture
def connection(settings: Settings) -> Iterator[Connection]:
    prepare(settings.database_url)
    with open_engine(settings.database_url).begin() as connection:
        yield connection


def not_seen_for(connection: Connection, worker_id: str, seconds: float) -> None:
    row = tables.workers.c
    connection.execute(update(tables.workers).where(row.id == worker_id).values(seen_at=now() - seconds))


def test_a_worker_is_there_from_when_it_enters_until_it_leaves(connection: Connection) -> None:
    first, second = workers.register(connection), workers.register(connection)
    assert [(each.id, each.pid, each.search) for each in workers.list_alive(connection)] == [
        (first, os.getpid(), None),
        (second, os.getpid(), None),
    ]
    workers.unregister(connection, first)
    assert [each.id for each in workers.list_alive(connection)] == [second]


def test_a_worker_says_what_it_runs(connection: Connection) -> None:
    worker_id = workers.register(connection)
    for search_id in ("one", None):
        workers.heartbeat(connection, worker_id, search_id)
        assert [each.search for each in workers.list_alive(connection)] == [search_id]


def test_a_worker_that_was_not_seen_lately_is_not_there_until_it_is_seen_again(connection: Connection) -> None:
    worker_id = workers.register(connection)
    not_seen_for(connection, worker_id, workers.ALIVE_SECONDS + 1)
    assert workers.list_alive(connection) == []
    workers.heartbeat(connection, worker_id, None)
    assert len(workers.list_alive(connection)) == 1


def test_workers_that_died_long_ago_are_forgotten(connection: Connection) -> None:
    long_ago, lately = workers.register(connection), workers.register(connection)
    not_seen_for(connection, long_ago, workers.FORGOTTEN_SECONDS + 1)
    not_seen_for(connection, lately, workers.ALIVE_SECONDS + 1)
    newest = workers.register(connection)
    assert set(connection.execute(select(tables.workers.c.id)).scalars()) == {lately, newest}
