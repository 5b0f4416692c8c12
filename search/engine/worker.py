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
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TypeVar

from search.engine import orphans
from search.engine.logs import last_message
from search.engine.working_folder import absolute_paths
from search.plan.lifecycle import Event
from search.private_files import make_private_file, make_private_folder, make_private_home
from search.settings import Settings, to_environment
from search.store import leases, recovery, searches, workers
from search.store.database import Connection, DatabaseError, Engine
from search.store.faults import find_fault, own_sentence
from search.store.patience import Patience
from search.vocabulary.errors import Conflict
from search.vocabulary.secret import Secret

EXIT_BUSY = 75  # of a driver: another driver holds the lease
EXIT_UNAVAILABLE = 69  # of a driver: the database, Ray or the disk failed it, which says nothing about the search
MAX_FAILED_DRIVERS = 3  # in a row, before a trial ends; then the search fails
LONGEST_PAUSE = 30.0  # seconds between two drivers that could not run
STOP_SECONDS = 9.0  # a driver gives its trials 4 s; after this it is killed
POLL_SECONDS = 0.25
IDLE_SECONDS = 0.5  # between polls of the queue
HEARTBEAT_SECONDS = 5.0  # between heartbeats of a worker

log = logging.getLogger(__name__)

Result = TypeVar("Result")


class Worker:
    """Runs searches, each in its own driver process."""

    def __init__(self, settings: Settings, engine: Engine, stopping: threading.Event | None = None) -> None:
        with suppress(OSError):  # there may be room again before a driver needs it
            make_private_home(settings.home, chosen=not settings.home_is_default)
        self._settings = settings
        self._engine = engine
        self._stopping = stopping or threading.Event()
        self._patiently = Patience(settings.outage_seconds, self._stopping)
        self._drivers: dict[str, subprocess.Popen[bytes]] = {}  # by search
        self.epochs: dict[str, int] = {}  #: of searches, when their last driver had ended, or before the first
        self._held: set[str] = set()  # searches that this worker's drivers were seen to hold
        self._worker_id: str | None = None
        self._heartbeat_at = self._recovered_at = float("-inf")

    def serve(self) -> None:
        """Run queued searches by priority, until ``stopping`` is set.

        Searches that run at that moment go back to the queue.

        Raises:
            DatabaseError: if the database does not answer for ``outage_seconds``.
        """
        running: dict[Future[None], str] = {}
        with ThreadPoolExecutor(self._settings.searches_at_once) as threads:
            try:
                while not self._stopping.is_set():
                    for ended in [each for each in running if each.done()]:
                        del running[ended]
                        ended.result()
                    self._heartbeat(next(iter(running.values()), None))
                    self._recover()
                    full = len(running) >= self._settings.searches_at_once
                    search_id = None if full else self._find_next(running.values())
                    if search_id is not None:
                        running[threads.submit(self._run_queued, search_id)] = search_id
                    else:
                        self._stopping.wait(POLL_SECONDS if running else IDLE_SECONDS)
            except DatabaseError:
                if not self._stopping.is_set():
                    raise
            finally:
                self._stopping.set()
        self.unregister()

    def _find_next(self, running: Iterable[str]) -> str | None:
        taken = frozenset(running)
        return self._read(lambda connection: leases.next_claimable(connection, taken))

    def _run_queued(self, search_id: str) -> None:
        log.info("running %s", search_id, extra={"search": search_id})
        try:
            search = self.run(search_id, lambda: _raise_if_set(self._stopping))
            message = f"{search.id} is {search.status} {search.reason}".rstrip()
            log.info("%s", message, extra={"search": search_id, "status": search.status})
        except Conflict:  # another worker was quicker
            self._stopping.wait(IDLE_SECONDS)
        except WorkerStopped:
            try:
                self._recover_search(search_id, Event.LOSE, recovery.DRIVER_LOST)  # if the driver had to be killed
            except Exception as error:
                if find_fault(error) is None:
                    raise
                log.warning("%s is left as it is: %s", search_id, own_sentence(error), extra={"search": search_id})
            else:
                log.info("left %s queued", search_id, extra={"search": search_id})

    def kill_drivers(self) -> None:
        """Kill the drivers that run; their trials are killed once they have ended. For a handler of signals."""
        for driver in list(self._drivers.values()):
            driver.kill()

    def unregister(self) -> None:
        """Remove this worker from the list of live workers."""
        if self._worker_id is not None:
            try:
                with self._engine.begin() as connection:
                    workers.unregister(connection, self._worker_id)
            except DatabaseError:  # its heartbeat ends anyway
                pass
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

    def _recover(self) -> None:
        """Recover what other workers' drivers have left, at the start and once a lease length."""
        if time.monotonic() - self._recovered_at < self._settings.lease_seconds:
            return
        thorough, self._recovered_at = self._recovered_at == float("-inf"), time.monotonic()
        orphans.clean_up(self._settings.search_folders() if thorough else ())
        url = self._settings.database_url
        for search_id in self._patiently(lambda _: recovery.recover(url, self._engine, thorough=thorough)):
            log.info("%s: %s", search_id, recovery.DRIVER_LOST, extra={"search": search_id})
        for search_id, driver in list(self._drivers.items()):
            holder = self._read(partial(leases.read_holder, search_id=search_id))
            if search_id in self._held and holder != driver.pid:  # it is frozen, and lost its search
                driver.kill()
            elif holder == driver.pid:
                self._held.add(search_id)

    def run(self, search_id: str, tick: Callable[[], None]) -> searches.Search:
        """Run a queued search until its driver leaves it in order; ``tick`` is called four times a second.

        A driver that dies is replaced. Ctrl-C is forwarded to the driver, which leaves the search paused;
        KeyboardInterrupt is raised once nothing of it runs any more.

        Raises:
            Conflict: if another process holds the search.
        """
        failed_drivers, pauses, finished = 0, 0, self._count_finished(search_id)
        self.epochs[search_id] = self._read(lambda connection: searches.get(connection, search_id)).epoch
        while True:
            code = self._run_driver(search_id, tick)
            if code != 0:
                self._recover_search(search_id, Event.LOSE, recovery.DRIVER_LOST)
            search = self._read(lambda connection: searches.get(connection, search_id))
            self.epochs[search_id] = search.epoch
            holder = self._read(lambda connection: leases.find_holder(connection, search_id))
            if code == 0 or not search.status.active:
                return search
            if code == EXIT_BUSY and holder:
                raise Conflict(
                    f"a search has one driver: got {search_id}, which process {holder.pid} on {holder.host} "
                    f"runs. Follow it with: seqnorm watch {search_id}"
                )
            progressed, finished = finished, self._count_finished(search_id)
            if finished != progressed:
                failed_drivers = pauses = 0
            elif code == EXIT_UNAVAILABLE:
                _wait(min(LONGEST_PAUSE, 2.0**pauses), tick)
                pauses, failed_drivers = pauses + 1, 0
            elif code != EXIT_BUSY:
                failed_drivers += 1
            if failed_drivers >= MAX_FAILED_DRIVERS:
                last_words = self._last_log_line(search_id)
                reason = f"{MAX_FAILED_DRIVERS} drivers in a row died before a trial ended: {last_words}"
                self._recover_search(search_id, Event.ABANDON, reason)
                return self._read(lambda connection: searches.get(connection, search_id))

    def _run_driver(self, search_id: str, tick: Callable[[], None]) -> int:
        """Run a driver until it ends, and return its exit code; on an exception, stop it first."""
        mark = secrets.token_hex(8)
        try:
            driver = self._start(search_id, mark)
        except OSError as error:  # no room, or no process left
            log.warning("a driver could not be started: %s", error, extra={"search": search_id})
            return EXIT_UNAVAILABLE
        self._drivers[search_id] = driver
        try:
            while driver.poll() is None:
                tick()
                time.sleep(POLL_SECONDS)
            tick()
        except BaseException as interruption:
            stop(driver, signal.SIGINT if isinstance(interruption, KeyboardInterrupt) else signal.SIGTERM)
            raise
        finally:
            del self._drivers[search_id]
            self._held.discard(search_id)
            orphans.kill_processes(mark)
            orphans.remove_folders(self._settings.search_folder(search_id))
        return driver.returncode

    def _start(self, search_id: str, mark: str) -> subprocess.Popen[bytes]:
        """Start a driver in its own session, so that only this process forwards Ctrl-C to it.

        It gets no webhook settings, which it does not need, and removes what trials must not get from its environment
        itself. It is told who its parent is: by the time that it could ask, this process may be gone.
        """
        settings = replace(self._settings, webhooks=Secret(), webhook_secret=Secret())
        printed = self._settings.driver_log(search_id)
        make_private_folder(printed.parent)
        make_private_file(printed)
        with printed.open("ab") as file:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", orphans.DRIVER_MODULE, search_id, str(os.getpid())],
                cwd=printed.parent,
                env={**os.environ, **absolute_paths(), **to_environment(settings), orphans.MARK_VARIABLE: mark},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def _recover_search(self, search_id: str, event: Event, reason: str) -> None:
        url = self._settings.database_url
        self._patiently(lambda _: recovery.recover_search(url, self._engine, search_id, event, reason))

    def _read(self, read: Callable[[Connection], Result]) -> Result:
        def call(_: bool) -> Result:
            with self._engine.connect() as connection:
                return read(connection)

        return self._patiently(call)

    def _count_finished(self, search_id: str) -> int:
        return self._read(lambda connection: searches.count_finished(connection, search_id))

    def _last_log_line(self, search_id: str) -> str:
        printed = self._settings.driver_log(search_id).read_text(errors="replace").strip()
        return last_message(printed) or "it printed nothing"


def _wait(seconds: float, tick: Callable[[], None]) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        tick()
        time.sleep(POLL_SECONDS)


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
