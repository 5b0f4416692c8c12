"""A database file that is deleted, moved or replaced while it is in use."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from search.settings import Settings
from search.store import workers
from search.store.database import DatabaseError, Engine, open_engine
from search.store.leases import Lease
from search.store.trials import TrialStore
from tests.search.stored import prepare


@pytest.fixture
def file(settings: Settings) -> Path:
    prepare(settings.database_url)
    return settings.home / "seqnorm.db"


def count(engine: Engine) -> int:
    with engine.connect() as connection:
        return len(workers.list_alive(connection))


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_that_is_deleted_in_mid_run_is_missed_at_once_and_not_created(
    settings: Settings, file: Path, read_only: bool
) -> None:
    engine = open_engine(settings.database_url, read_only=read_only)
    assert count(engine) == 0
    file.unlink()
    for _ in range(2):
        with pytest.raises(DatabaseError, match=f"no file at {file}; it was deleted or moved"):
            count(engine)
    assert not file.exists()


def test_a_file_that_comes_back_or_is_another_one_is_used(settings: Settings, file: Path) -> None:
    engine = open_engine(settings.database_url)
    shutil.copy(file, copy := file.with_name("copy"))
    with engine.begin() as connection:
        workers.register(connection)
    file.rename(moved := file.with_name("moved"))
    with pytest.raises(DatabaseError):
        count(engine)
    moved.rename(file)
    assert count(engine) == 1
    engine.dispose()  # so that its log is in the file
    assert count(engine) == 1
    copy.replace(file)
    assert count(engine) == 0


def test_trials_are_not_written_to_a_file_that_nobody_sees(settings: Settings, file: Path) -> None:
    store = TrialStore(settings.database_url, Lease("a search", 1), "max")
    file.unlink()
    with pytest.raises(DatabaseError, match="it was deleted or moved"):
        store.engine.connect()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_needs_no_file(url: str) -> None:
    with open_engine(url).connect() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1
