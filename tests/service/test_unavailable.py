"""The service while its database is locked, full, gone or restarted: what it answers, and how soon."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from search.settings import Settings
from search.store import tables
from search.store.database import Connection, open_engine
from service import accounts
from service.app import create_app

LIMIT_SECONDS = 5.0  # the promise, not what it takes: a write is refused within it


@pytest.fixture
def settings(settings: Settings, database_url: str) -> Settings:
    """Settings of a service over each kind of database."""
    return Settings(home=settings.home, db=database_url)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    """An admin's client, whose token was never used."""
    with open_engine(settings.database_url).begin() as connection:
        _, token = accounts.create_token(connection, name="a test", owner="ada", scopes=["admin"], lifetime=None)
    with TestClient(create_app(settings), "http://127.0.0.1", headers={"Authorization": f"Bearer {token}"}) as client:
        yield client


def lock(connection: Connection) -> None:
    """Take what every writer needs and no reader does."""
    if connection.dialect.name == "postgresql":
        for table in tables.metadata.sorted_tables:
            connection.execute(text(f"LOCK TABLE {table.name} IN EXCLUSIVE MODE"))


def refusal(client: TestClient, method: str = "POST", path: str = "/api/tokens") -> str:
    """Return why a request is refused for now."""
    body = {"name": "another", "owner": "ada", "scopes": ["read"]}
    start = time.monotonic()
    answer = client.request(method, path, json=body if method == "POST" else None)
    assert time.monotonic() - start < LIMIT_SECONDS
    assert (answer.status_code, answer.headers["Content-Type"]) == (503, "application/problem+json")
    assert int(answer.headers["Retry-After"]) > 0
    return str(answer.json()["detail"])


def test_while_another_writes_reads_are_answered_and_writes_refused(settings: Settings, client: TestClient) -> None:
    with open_engine(settings.database_url).begin() as holding:
        lock(holding)
        for path in ("/api/searches", "/api/tokens", "/api/cluster", "/", "/metrics", "/healthz"):
            start = time.monotonic()
            assert client.get(path).status_code == 200, path
            assert time.monotonic() - start < 3, f"{path} waits, if not for as long as a writer"
        assert refusal(client) == "the database must be free: got a lock of another process. Try again shortly."
    answer = client.post("/api/tokens", json={"name": "another", "owner": "ada", "scopes": ["read"]})
    assert answer.status_code == 201


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_full_disk_is_said(settings: Settings, client: TestClient) -> None:
    database = client.app.state.database  # type: ignore[attr-defined]
    with database.write_engine.connect() as connection:  # the one that the pool has; the limit is the connection's
        connection.execute(text(f"PRAGMA max_page_count = {connection.scalar(text('PRAGMA page_count'))}"))
    body = {"name": "n" * 100, "owner": "a" * 64, "scopes": ["read"]}
    answers = (client.post("/api/tokens", json=body) for _ in range(200))
    refused = next(answer for answer in answers if answer.status_code != 201)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
    assert refused.json()["detail"].startswith("the database must have room to write: got a full disk.")
    assert client.get("/api/tokens").status_code == 200


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_file_that_is_deleted_is_missed_until_it_is_back(settings: Settings, client: TestClient) -> None:
    assert client.get("/api/searches").status_code == 200
    file = Path(settings.database_url.reveal().removeprefix("sqlite:///"))
    away = file.rename(file.with_name("away.db"))
    for method, path in (("GET", "/api/searches"), ("POST", "/api/tokens"), ("GET", "/metrics")):
        assert refusal(client, method, path).startswith("the database must exist: got no file")
    assert not file.exists()
    assert client.get("/healthz").status_code == 200
    away.rename(file)
    assert client.get("/api/searches").status_code == 200


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_the_first_request_after_a_restart_of_the_database_is_answered(settings: Settings, client: TestClient) -> None:
    assert client.get("/api/searches").status_code == 200
    ended = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with open_engine(settings.database_url).connect() as connection:
        assert len(connection.execute(ended).all()) > 0, "as a restart does, all connections were cut"
    assert client.get("/api/searches").status_code == 200
    assert client.post("/api/tokens", json={"name": "a", "owner": "ada", "scopes": ["read"]}).status_code == 201
