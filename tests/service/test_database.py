"""The service's two ways into the database."""

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
from service.database import Configured, Reading, Store, Stores


@pytest.fixture
def stores(settings: Settings) -> Iterator[Stores]:
    """Stores over a database with one table."""
    settings.home.mkdir()
    stores = Stores(settings)
    with stores.write() as connection:
        connection.execute(text("CREATE TABLE written (number INTEGER)"))
    yield stores
    stores.close()


def write(stores: Stores, number: int) -> None:
    with stores.write() as connection:
        connection.execute(text("INSERT INTO written VALUES (:number)"), {"number": number})


def written(stores: Stores) -> list[int]:
    with stores.reading.connect() as connection:
        return list(connection.execute(text("SELECT number FROM written ORDER BY number")).scalars())


def test_what_is_written_is_there_once_it_is_committed(stores: Stores) -> None:
    with stores.write() as connection:
        connection.execute(text("INSERT INTO written VALUES (1)"))
        assert written(stores) == []
    assert written(stores) == [1]


def test_an_error_undoes_what_was_written(stores: Stores) -> None:
    def fail_half_way() -> None:
        with stores.write() as connection:
            connection.execute(text("INSERT INTO written VALUES (1)"))
            connection.execute(text("INSERT INTO nowhere VALUES (1)"))

    with pytest.raises(OperationalError, match="nowhere"):
        fail_half_way()
    write(stores, 2)
    assert written(stores) == [2]


def test_one_writes_at_a_time(stores: Stores) -> None:
    inside, most = [0], [0]

    def write_slowly(number: int) -> None:
        with stores.write() as connection:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.01)
            connection.execute(text("INSERT INTO written VALUES (:number)"), {"number": number})
            inside[0] -= 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write_slowly, range(4)))
    assert written(stores) == [0, 1, 2, 3]
    assert most == [1]


def test_a_route_gets_the_stores_the_settings_and_a_connection_of_its_own(settings: Settings, stores: Stores) -> None:
    app = FastAPI()
    app.state.stores, app.state.settings = stores, settings

    @app.post("/written/{number}")
    def add(store: Store, number: int) -> None:
        write(store, number)

    @app.get("/written")
    def show(store: Reading, settings: Configured) -> dict[str, object]:
        return {"home": str(settings.home), "sum": store.scalar(text("SELECT SUM(number) FROM written"))}

    client = TestClient(app)
    client.post("/written/3")
    client.post("/written/4")
    assert client.get("/written").json() == {"home": str(settings.home), "sum": 7}
    assert stores.reading.pool.checkedout() == 0, "it was given back"
