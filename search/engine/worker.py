"""The driver's parent: starts a driver for a search, follows it, starts another when it dies."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from search.engine import orphans
from search.engine.logs import parse_message
from search.settings import Settings, to_environment
from search.store import leases, searches, workers
from search.store.database import DatabaseError, Engine
from search.vocabulary.errors import Conflict
from search.vocabulary.secret import Secret
from search.vocabulary.states import Status

EXIT_BUSY = 75  # of a driver: another one holds the search
MAX_FAILED_DRIVERS = (
    3  # drivers in a row that die before a trial ends; then the search is left, as it would go on for ever
)
STOP_SECONDS = 9.0  # a driver gives its trials 4 s; what has not gone by then is killed
POLL_SECONDS = 0.25
IDLE_SECONDS = 0.5  # between looks at the queue
HEARTBEAT_SECONDS = 5.0  # between two times that a worker says it is there

log = logging.getLogger(__name__)


class Worker:
    """Runs searches, one driver process each."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self._settings = settings
        self._engine = engine
        self._mark = ""  # of the driver that runs now
        self._worker_id: str | None = None
        self._heartbeat_at = 0.0

    def serve(self, stopping: threading.Event) -> None:
        """Run whatever waits, one search after another by priority, until ``stopping`` is set.

        A search that runs at that moment is left queued, for another worker.
        """
        while not stopping.is_set():
            self._heartbeat(None)
            with self._engine.connect() as connection:
                search_id = leases.next_claimable(connection)
            if search_id is None:
                stopping.wait(IDLE_SECONDS)
                continue
            log.info("running %s", search_id, extra={"search": search_id})
            try:
                search = self.run(search_id, lambda: _raise_if_set(stopping))
                message = f"{search.id} is {search.status} {search.reason}".rstrip()
                log.info("%s", message, extra={"search": search_id, "status": search.status})
            except Conflict:  # another worker was quicker
                stopping.wait(IDLE_SECONDS)
            except WorkerStopped:
                log.info("left %s queued", search_id, extra={"search": search_id})
        self.unregister()

    def unregister(self) -> None:
        """Say that this worker ends."""
        if self._worker_id is not None:
            with self._engine.begin() as connection:
                workers.unregister(connection, self._worker_id)
            self._worker_id = None

    def _heartbeat(self, search_id: str | None) -> None:
        """Say now and then that this worker is there; a database that is restarting does not hear it."""
        if time.monotonic() - self._heartbeat_at < HEARTBEAT_SECONDS:
            return
        self._heartbeat_at = time.monotonic()
        try:
            with self._engine.begin() as connection:
                if self._worker_id is None:
                    self._worker_id = workers.register(connection)
                workers.heartbeat(connection, self._worker_id, search_id)
        except DatabaseError:
            pass

    def run(self, search_id: str, tick: Callable[[], None]) -> searches.Search:
        """Run a queued search until it ends, is paused or cancelled; ``tick`` is called four times a second.

        A driver that dies is followed by another. An interrupt (Ctrl-C) is passed on: the search is left paused, and
        KeyboardInterrupt is raised when nothing of it runs any more.

        Raises:
            Conflict: if another process holds the search, or its drivers keep dying.
        """
        failed_drivers, finished = 0, self._finished(search_id)
        while True:
            code = self._follow(search_id, self._start(search_id), tick)
            with self._engine.connect() as connection:
                search = searches.get(connection, search_id)
                holder = leases.find_holder(connection, search_id)
            if not search.status.active:
                return search
            if code == EXIT_BUSY and holder:
                raise Conflict(
                    f"a search has one driver: got {search_id}, which process {holder.pid} on {holder.host} "
                    f"runs. Follow it with: seqnorm watch {search_id}"
                )
            if code == 0:
                return search
            failed_drivers = failed_drivers + 1 if self._finished(search_id) == finished else 0
            finished = self._finished(search_id)
            if failed_drivers >= MAX_FAILED_DRIVERS:
                reason = (
                    f"{MAX_FAILED_DRIVERS} drivers in a row died before a trial ended: {self._last_log_line(search_id)}"
                )
                with self._engine.begin() as connection:
                    searches.set_status(connection, search_id, Status.FAILED, reason)
                    return searches.get(connection, search_id)

    def _start(self, search_id: str) -> subprocess.Popen[bytes]:
        """Start a driver in a session of its own, so that a Ctrl-C reaches it through us alone.

        It is not told of webhooks: trials inherit what it is told, and recipes are anybody's code.
        """
        settings = replace(self._settings, webhooks=Secret(), webhook_secret=Secret())
        printed = self._settings.driver_log(search_id)
        self._mark = secrets.token_hex(8)
        printed.parent.mkdir(parents=True, exist_ok=True)
        with printed.open("ab") as file:
            return subprocess.Popen(
                [sys.executable, "-m", "search.engine.driver", search_id],
                env={**os.environ, **to_environment(settings), orphans.MARK_VARIABLE: self._mark},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def _follow(self, search_id: str, driver: subprocess.Popen[bytes], tick: Callable[[], None]) -> int:
        """Wait for a driver to end; on an interrupt stop it first."""
        try:
            while driver.poll() is None:
                if self._worker_id is not None:  # it serves; a command that runs one search is no worker for others
                    self._heartbeat(search_id)
                tick()
                time.sleep(POLL_SECONDS)
            tick()
        except BaseException as interruption:
            stop(driver, signal.SIGINT if isinstance(interruption, KeyboardInterrupt) else signal.SIGTERM)
            raise
        finally:
            orphans.kill_processes(self._mark)
            orphans.remove_folders(self._settings.search_folder(search_id), self._mark)
        return driver.returncode

    def _finished(self, search_id: str) -> int:
        with self._engine.connect() as connection:
            return searches.count_finished(connection, search_id)

    def _last_log_line(self, search_id: str) -> str:
        lines = self._settings.driver_log(search_id).read_text(errors="replace").strip().splitlines()
        return parse_message((lines or ["it printed nothing"])[-1])[:500]


class WorkerStopped(Exception):
    """The worker is to end."""


def _raise_if_set(stopping: threading.Event) -> None:
    if stopping.is_set():
        raise WorkerStopped


def stop(driver: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Ask a driver to leave, and kill it if it does not within seconds; a second Ctrl-C kills it at once."""
    driver.send_signal(number)
    try:
        driver.wait(STOP_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        driver.kill()
        driver.wait()
