"""The worker beside the web service."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from search.settings import Settings
from search.store import workers
from search.store.database import open_engine
from search.store.schema import upgrade
from service import worker_process
from service.worker_process import WorkerProcess


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_worker_that_dies_is_followed_by_another_until_it_is_stopped(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(worker_process, "RESTART_SECONDS", 0.1)
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "__init__.py").write_text("raise SystemExit('not for a worker')")
    monkeypatch.chdir(tmp_path)  # nothing of which is imported
    upgrade(settings.database_url)
    engine = open_engine(settings.database_url)

    def count() -> int:
        with engine.connect() as connection:
            return len(workers.list_alive(connection))

    kept = WorkerProcess(settings)
    try:
        first = kept._process
        first.kill()
        wait_for(lambda: kept._process is not first)
        assert caplog.messages == ["the worker exited with -9; starting another in 0.1 s"]
        wait_for(lambda: count() == 1)
    finally:
        kept.stop()
    assert kept._process.returncode == 0
    assert count() == 0, "the second one took leave"
