"""What the tests share: a recipe with a known optimum, one PostgreSQL, one Ray cluster and one browser per run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event

from search.settings import Settings
from tests.postgres import serving_postgres

PLUGIN = Path(__file__).parent / "plugin"
sys.path.insert(0, str(PLUGIN))  # here, and in every process that the tests start
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PLUGIN), os.environ.get("PYTHONPATH")]))
for variable in [name for name in os.environ if name.startswith("SEQNORM_")]:
    del os.environ[variable]  # a developer's own settings must not reach the tests


@pytest.fixture(autouse=True)
def closed_engines() -> Iterator[None]:
    """Close the connections of every engine that a test opened, so that tests need not say so."""
    opened: set[Engine] = set()

    def remember(connection: Connection) -> None:
        opened.add(connection.engine)

    event.listen(Engine, "engine_connect", remember)
    yield
    event.remove(Engine, "engine_connect", remember)
    for engine in opened:
        engine.dispose()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a fresh home with SQLite, and leases of seconds."""
    return Settings(home=tmp_path / "home", lease_seconds=3.0, renew_seconds=0.5)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL server that lives as long as the run."""
    with serving_postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'test.db'}"
        return
    import uuid

    import psycopg
    from sqlalchemy import make_url

    server = request.getfixturevalue("postgres_server")
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield make_url(server).set(database=name).render_as_string(hide_password=False)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
