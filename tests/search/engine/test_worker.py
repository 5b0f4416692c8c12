"""A worker with drivers that end at once: what it makes of their ends. What real drivers do is in tests/faults."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from search.engine import worker as worker_module
from search.engine.worker import EXIT_BUSY, MAX_FAILED_DRIVERS, Worker, stop
from search.settings import Settings
from search.store import leases, searches, workers
from search.store.database import Engine, open_engine
from search.vocabulary.errors import Conflict
from tests.search.stored import prepare, submit


@pytest.fixture
def engine(settings: Settings) -> Engine:
    prepare(settings.database_url)
    return open_engine(settings.database_url)


def start_as_driver(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a shell script run where a worker starts a driver."""
    program = tmp_path / "driver"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(worker_module, "POLL_SECONDS", 0.01)


def test_a_search_whose_drivers_keep_dying_is_left_failed_with_their_last_words(
    settings: Settings, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_as_driver("echo starting >&2; echo no room on the disk >&2; exit 1", tmp_path, monkeypatch)
    search_id = submit(settings.database_url)
    ticks: list[None] = []
    left = Worker(settings, engine).run(search_id, lambda: ticks.append(None))
    assert left.status == "failed"
    assert left.reason == f"{MAX_FAILED_DRIVERS} drivers in a row died before a trial ended: no room on the disk"
    assert settings.driver_log(search_id).read_text().count("starting") == MAX_FAILED_DRIVERS
    assert len(ticks) >= MAX_FAILED_DRIVERS


def test_a_driver_is_told_the_settings_but_no_webhooks(
    settings: Settings, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_as_driver("env >&2; echo $@ >&2", tmp_path, monkeypatch)
    search_id = submit(settings.database_url)
    told = Settings(home=settings.home, webhooks="https://a.example", webhook_secret="whsec_x")
    Worker(told, engine).run(search_id, lambda: None)
    printed = settings.driver_log(search_id).read_text()
    assert f"SEQNORM_HOME={settings.home}\n" in printed
    assert f"-P -m search.engine.driver {search_id} {os.getpid()}\n" in printed
    assert "a.example" not in printed
    assert "whsec_x" not in printed


def test_a_driver_runs_in_the_folder_of_its_search_and_finds_the_recipes_of_who_started_it(
    settings: Settings, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_as_driver("pwd >&2; echo $PYTHONPATH >&2", tmp_path, monkeypatch)
    (tmp_path / "recipes").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "recipes")
    search_id = submit(settings.database_url)
    Worker(settings, engine).run(search_id, lambda: None)
    printed = settings.driver_log(search_id).read_text().splitlines()
    assert printed[:2] == [str(settings.search_folder(search_id)), str(tmp_path / "recipes")]


def test_a_search_that_another_process_holds_is_not_run(
    settings: Settings, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_as_driver(f"exit {EXIT_BUSY}", tmp_path, monkeypatch)
    search_id = submit(settings.database_url)
    leases.acquire(engine, search_id, 60)
    with pytest.raises(Conflict, match=rf"a search has one driver: got {search_id}, which process {os.getpid()} on "):
        Worker(settings, engine).run(search_id, lambda: None)


def test_an_interrupt_ends_the_driver_before_it_is_passed_on(
    settings: Settings, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_as_driver(
        "trap 'echo interrupted; exit 0' INT; echo here; while :; do sleep 0.05; done", tmp_path, monkeypatch
    )
    search_id = submit(settings.database_url)
    log = settings.driver_log(search_id)

    def interrupt() -> None:
        if log.exists() and "here" in log.read_text():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Worker(settings, engine).run(search_id, interrupt)
    assert log.read_text().split() == ["here", "interrupted"]


def test_a_worker_that_serves_is_there_until_it_is_told_to_stop(settings: Settings, engine: Engine) -> None:
    stopping = threading.Event()
    serving = threading.Thread(target=Worker(settings, engine, stopping).serve)
    serving.start()
    try:
        deadline = time.monotonic() + 10
        while not _alive(engine):
            assert time.monotonic() < deadline, "no worker entered"
            time.sleep(0.01)
    finally:
        stopping.set()
        serving.join(10)
    assert not serving.is_alive()
    assert _alive(engine) == 0


def test_a_worker_runs_as_many_searches_side_by_side_as_it_is_told(
    settings: Settings, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    start_as_driver(f"touch {marks}/$4; while :; do sleep 0.05; done", tmp_path, monkeypatch)
    ids = {submit(settings.database_url) for _ in range(3)}
    stopping = threading.Event()
    worker = Worker(replace(settings, searches_at_once=2), engine, stopping)
    serving = threading.Thread(target=worker.serve)
    serving.start()
    try:
        deadline = time.monotonic() + 20
        while len(list(marks.iterdir())) < 2:
            assert time.monotonic() < deadline, "two searches do not run at once"
            time.sleep(0.05)
        time.sleep(5 * worker_module.IDLE_SECONDS)  # in which a third would begin
    finally:
        stopping.set()
        serving.join(20)
    started = {mark.name for mark in marks.iterdir()}
    assert len(started) == 2
    assert started < ids


def test_a_driver_that_cannot_be_started_does_not_fail_its_search(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    search_id = submit(settings.database_url)
    settings.home.mkdir(exist_ok=True)
    (settings.home / "searches").write_text("no folder can be made here")
    tries: list[None] = []

    def tick() -> None:
        tries.append(None)
        if len(tries) > 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Worker(settings, engine).run(search_id, tick)
    with engine.connect() as connection:
        assert searches.get(connection, search_id).status == "queued"


def _alive(engine: Engine) -> int:
    with engine.connect() as connection:
        return len(workers.list_alive(connection))


def test_a_driver_that_does_not_leave_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "STOP_SECONDS", 0.1)
    deaf = subprocess.Popen(["sh", "-c", "trap '' TERM; echo; exec sleep 60"], stdout=subprocess.PIPE)
    assert deaf.stdout is not None
    deaf.stdout.readline()
    stop(deaf, signal.SIGTERM)
    assert deaf.returncode == -signal.SIGKILL
    deaf.communicate()
