"""The engines of the service, and what routes get of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient

from search.settings import Settings
from search.store.database import open_engine
from service.database import AppDatabase, AppSettings, Database, ReadConnection
from service.route import OneVisitRoute


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """A database with one table."""
    settings.home.mkdir()
    open_engine(settings.database_url, create=True).connect().close()
    database = Database(settings)
    with database.write() as connection:
        connection.execute(text("CREATE TABLE written (number INTEGER)"))
    yield database
    database.close()


def write(database: Database, number: int) -> None:
    with database.write() as connection:
        connection.execute(text("INSERT INTO written VALUES (:number)"), {"number": number})


def written(database: Database) -> list[int]:
    with database.read_engine.connect() as connection:
        return list(connection.execute(text("SELECT number FROM written ORDER BY number")).scalars())


def test_what_is_written_is_there_once_it_is_committed(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("INSERT INTO written VALUES (1)"))
        assert written(database) == []
    assert written(database) == [1]


def test_an_error_undoes_what_was_written(database: Database) -> None:
    def fail_half_way() -> None:
        with database.write() as connection:
            connection.execute(text("INSERT INTO written VALUES (1)"))
            connection.execute(text("INSERT INTO nowhere VALUES (1)"))

    with pytest.raises(OperationalError, match="nowhere"):
        fail_half_way()
    write(database, 2)
    assert written(database) == [2]


def test_one_writes_at_a_time(database: Database) -> None:
    inside, most = [0], [0]

    def write_slowly(number: int) -> None:
        with database.write() as connection:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.01)
            connection.execute(text("INSERT INTO written VALUES (:number)"), {"number": number})
            inside[0] -= 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write_slowly, range(4)))
    assert written(database) == [0, 1, 2, 3]
    assert most == [1]


def test_a_route_gets_the_database_the_settings_and_its_own_connection(settings: Settings, database: Database) -> None:
    app = FastAPI()
    app.router.route_class = OneVisitRoute
    app.state.database, app.state.settings = database, settings

    @app.post("/written/{number}")
    def add(database: AppDatabase, number: int) -> None:
        write(database, number)

    @app.get("/written")
    def show(connection: ReadConnection, settings: AppSettings) -> dict[str, object]:
        return {"home": str(settings.home), "sum": connection.scalar(text("SELECT SUM(number) FROM written"))}

    client = TestClient(app)
    client.post("/written/3")
    client.post("/written/4")
    assert client.get("/written").json() == {"home": str(settings.home), "sum": 7}
    assert database.read_engine.pool.checkedout() == 0, "it was given back"
