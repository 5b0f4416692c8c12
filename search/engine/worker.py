"""Starts a driver for each search, and another one if it dies."""

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

EXIT_BUSY = 75  # of a driver: another driver holds the lease
MAX_FAILED_DRIVERS = 3  # in a row, before a trial ends; then the search fails
STOP_SECONDS = 9.0  # a driver gives its trials 4 s; after this it is killed
POLL_SECONDS = 0.25
IDLE_SECONDS = 0.5  # between polls of the queue
HEARTBEAT_SECONDS = 5.0  # between heartbeats of a worker

log = logging.getLogger(__name__)


class Worker:
    """Runs searches, each in its own driver process."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self._settings = settings
        self._engine = engine
        self._mark = ""  # of the current driver
        self._worker_id: str | None = None
        self._heartbeat_at = 0.0

    def serve(self, stopping: threading.Event) -> None:
        """Run queued searches one after another, by priority, until ``stopping`` is set.

        A search that runs at that moment goes back to the queue.
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
        """Remove this worker from the list of live workers."""
        if self._worker_id is not None:
            with self._engine.begin() as connection:
                workers.unregister(connection, self._worker_id)
            self._worker_id = None

    def _heartbeat(self, search_id: str | None) -> None:
        """Store a heartbeat every ``HEARTBEAT_SECONDS``; errors of a restarting database are ignored."""
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

        A driver that dies is restarted. Ctrl-C is forwarded to the driver, which leaves the search paused;
        KeyboardInterrupt is raised once nothing of it runs any more.

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
        """Start a driver in its own session, so that only this process forwards Ctrl-C to it.

        Its environment has no webhook settings, because trials inherit it and recipes are third-party code.
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
        """Wait until a driver ends; on an exception, stop it first."""
        try:
            while driver.poll() is None:
                if self._worker_id is not None:  # only if it serves: a command that runs one search is no worker
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
    """The worker must stop."""


def _raise_if_set(stopping: threading.Event) -> None:
    if stopping.is_set():
        raise WorkerStopped


def stop(driver: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal a driver to stop, and kill it after ``STOP_SECONDS``; a second Ctrl-C kills it at once."""
    driver.send_signal(number)
    try:
        driver.wait(STOP_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        driver.kill()
        driver.wait()
