"""Starting the service and ending it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from search.settings import Settings, to_environment
from search.store import queries, searches
from search.store.database import DatabaseError, open_engine
from service import server
from tests.faults.site import Site
from tests.search.program import processes_of, wait_for_lines, wait_until_gone
from tests.search.stored import prepare, submit
from tests.service.clients import first_client
from tests.service.conftest import free_port, serving


def test_the_first_start_makes_a_token_and_every_start_prints_a_link(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", port=free_port(), worker=0)
    codes = []
    for _ in range(2):
        with serving(settings) as printed, first_client(settings) as api:
            said = printed.read_text()
            codes += re.findall(r"/login\?code=([A-Za-z0-9_-]{43})\n", said)
            assert settings.token_file.stat().st_mode & 0o777 == 0o600
            assert settings.token_file.read_text().strip() not in said
            assert [token["name"] for token in api.get("/api/tokens").json()] == ["first start"]
            assert httpx2.post(api.base_url.join("/login"), data={"code": codes[-1]}).status_code == 303
    assert len(set(codes)) == 2


def start(settings: Settings) -> subprocess.Popen[str]:
    """Start the service in a process of its own, which says what it says in a pipe."""
    return subprocess.Popen(
        [sys.executable, "-m", "service"],
        env=os.environ | to_environment(settings),
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(process: subprocess.Popen[str], words: str) -> None:
    """Wait until a process says something."""
    assert process.stderr
    while words not in (line := process.stderr.readline()):
        assert line, f"it ended without saying {words}"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_ends_the_service_cleanly_and_its_worker_with_it(tmp_path: Path, number: signal.Signals) -> None:
    process = start(Settings(home=tmp_path, port=free_port()))
    wait_for(process, "working on")  # says the worker
    process.send_signal(number)
    rest = process.communicate(timeout=40)[1]  # the pipe ends with the last process that has it
    assert process.returncode == 0, rest
    assert "Traceback" not in rest
    assert processes_of(tmp_path) == []


def test_a_signal_before_there_is_a_server_leaves_nothing_behind(tmp_path: Path) -> None:
    for moment in (
        "server.open_store = lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM)",
        "start = server.WorkerProcess\n"
        "server.WorkerProcess = lambda settings: (os.kill(os.getpid(), signal.SIGTERM), start(settings))[1]",
    ):
        environment = os.environ | to_environment(Settings(home=tmp_path, port=free_port()))
        code = f"import os, signal, sys\nfrom service import __main__, server\n{moment}\nsys.exit(__main__.main())"
        words = [sys.executable, "-c", code]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=40)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), (moment, done.stderr)
        assert processes_of(tmp_path) == [], moment


def test_a_worker_whose_service_was_killed_leaves_by_itself(tmp_path: Path) -> None:
    process = start(Settings(home=tmp_path, port=free_port()))
    wait_for(process, "working on")
    process.kill()
    process.communicate(timeout=40)
    wait_until_gone(tmp_path)


def test_a_start_that_finds_the_database_locked_says_so_and_tries_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    prepare(settings.database_url)
    monkeypatch.setattr(server, "LOCK_SECONDS", 0.5)
    caplog.set_level("WARNING", "service")
    with open_engine(settings.database_url).begin(), pytest.raises(DatabaseError, match="locked"):
        server.wait_for_writers(settings)
    assert caplog.messages == []  # a second attempt would be too late
    monkeypatch.setattr(server, "LOCK_SECONDS", 30.0)
    with open_engine(settings.database_url).begin() as holding:
        timer = threading.Timer(1.5, holding.connection.driver_connection.rollback)  # type: ignore[union-attr]
        timer.start()
        assert server.wait_for_writers(settings)
        timer.join()
    assert caplog.messages == ["the database is locked by another process; trying for 30 s to write to it"]


@pytest.fixture
def training(tmp_path: Path) -> Iterator[tuple[Site, str]]:
    """A service whose worker runs a search of which trials train, in processes that Ray has no part in; the search."""
    home, journal = tmp_path / "home", tmp_path / "journal"
    settings = Settings(home=home, port=free_port(), lease_seconds=3.0, renew_seconds=0.5)
    search_id = submit(settings.database_url, numbers={"seconds": 60, "epochs": 600, "journal": str(journal)})
    site = Site(settings, [], serves=True)
    site.start()
    try:
        wait_for_lines(journal, 1)
        assert site.processes("trial"), site.logs()
        yield site, search_id
    finally:
        site.close()


def left_as(settings: Settings, search_id: str) -> tuple[str, int]:
    """Return the status that a search was left with, and how many of its trials are said to run."""
    with open_engine(settings.database_url, read_only=True).connect() as connection:
        running = queries.list_trials(connection, search_id, state="RUNNING")
        return searches.get(connection, search_id).status, len(running)


def test_a_service_that_is_told_to_end_leaves_its_search_queued_and_no_process(training: tuple[Site, str]) -> None:
    site, search_id = training
    assert site.stop() == 0, site.logs()
    assert left_as(site.settings, search_id) == ("queued", 0)
    assert processes_of(site.settings.home) == []


def test_two_signals_hurry_and_still_leave_no_process(training: tuple[Site, str]) -> None:
    site, _ = training
    site.signal("service", signal.SIGTERM)
    time.sleep(0.3)
    assert site.stop() == 0, site.logs()
    assert processes_of(site.settings.home) == []
