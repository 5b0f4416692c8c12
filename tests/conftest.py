"""What the tests share: a recipe with a known optimum, one PostgreSQL, one Ray cluster and one browser per run."""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event, make_url

from search.settings import Settings
from tests.engines import LASTING
from tests.lanes import RUNNING, forbid_ray, is_slow, mark_and_group, permit_ray, require_groups, require_mark, turn_of
from tests.postgres import serving_postgres, weaken
from tests.search.ray_cluster import serving_ray
from tests.templates import clone, create, drop

PLUGIN = Path(__file__).parent / "plugin"
sys.path.insert(0, str(PLUGIN))  # here, and in every process that the tests start
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PLUGIN), os.environ.get("PYTHONPATH")]))
for variable in [name for name in os.environ if name.startswith("SEQNORM_") or name == "RAY_ADDRESS"]:
    del os.environ[variable]  # a developer's own settings must not reach the tests
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests share the cores, and threads that wait for one another spin
if kernels := os.environ.get("ATEN_CPU_CAPABILITY"):  # torch reuses a cached program for vectors that these do not have
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(tempfile.gettempdir(), f"torchinductor-{kernels}")))
forbid_ray()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Spare the fast lane importing what it does not run."""
    return True if "not slow" in config.getoption("markexpr") and is_slow(collection_path) else None


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark a test by what it starts; its group must be there before pytest-xdist reads it, which is at the end."""
    mark_and_group(item)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the groups first, as they last longest."""
    items.sort(key=turn_of)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to go on where groups are not kept: each process would start a Ray of its own."""
    require_groups(session.config, session.items)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Remember which test runs."""
    item.config.stash[RUNNING] = item


@pytest.fixture(autouse=True)
def closed_engines() -> Iterator[None]:
    """Close the connections of every engine that a test opened, so that tests need not say so."""
    opened: set[Engine] = set()

    def remember(connection: Connection) -> None:
        opened.add(connection.engine)

    event.listen(Engine, "engine_connect", remember)
    yield
    event.remove(Engine, "engine_connect", remember)
    for engine in opened.difference(LASTING):
        engine.dispose()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a fresh home with SQLite, and leases of seconds."""
    return Settings(home=tmp_path / "home", lease_seconds=3.0, renew_seconds=0.5)


# Ray


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[dict[str, str]]:
    """A Ray of two CPUs that lives as long as the run: the variables that make drivers join it."""
    secret = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with pytest.MonkeyPatch.context() as patch:  # for the cluster alone: tests that follow may have no Ray
        permit_ray(patch)
        canaries = {"PGPASSWORD": "not for trials", "MY_LIBRARY": "for trials if an operator says so"}
        permitted = {**os.environ, **secret, **canaries, "RAY_worker_niceness": "0"}
    with serving_ray(2, environment=permitted) as cluster:
        yield {**secret, "RAY_ADDRESS": cluster.address}


@pytest.fixture(scope="module")
def shared_ray(ray_cluster: dict[str, str]) -> Iterator[None]:
    """Have the drivers of a module join the Ray of the run, which spares each the start of its own: 10 s of CPU."""
    with pytest.MonkeyPatch.context() as patch:
        permit_ray(patch)
        for name, value in ray_cluster.items():
            patch.setenv(name, value)
        yield


@pytest.fixture
def own_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each driver start a Ray of its own, as it does where nobody names one."""
    permit_ray(monkeypatch)


# Databases


@pytest.fixture(scope="session")
def postgres_server(pytestconfig: pytest.Config) -> Iterator[str]:
    """The URL of a PostgreSQL server that lives as long as the run, whatever number of processes share that."""
    require_mark(pytestconfig, "postgres")
    with serving_postgres(os.environ.get("PYTEST_XDIST_TESTRUNUID")) as url:
        weaken(url)
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without tables, once on SQLite and once on PostgreSQL."""
    with _place(request, tmp_path) as url:
        if request.param == "postgresql":
            create(url)
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database that is up to date and holds nothing yet, once on SQLite and once on PostgreSQL."""
    from search.store.schema import upgrade  # imports Alembic, which tests without a database do without

    with _place(request, tmp_path) as url:
        clone(url, "migrated", upgrade)
        yield url


@contextmanager
def _place(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """Yield the URL of a database that is not there yet."""
    if request.param == "sqlite":
        yield f"sqlite:///{folder / 'test.db'}"
        return
    server = make_url(request.getfixturevalue("postgres_server"))
    url = server.set(database=f"test_{uuid.uuid4().hex[:12]}").render_as_string(hide_password=False)
    yield url
    drop(url)
