"""Repeats calls to the database while it does not answer: restarts, lost connections, locks, full disks."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import InterfaceError, OperationalError
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_exponential_jitter
from tenacity.nap import sleep_using_event
from tenacity.stop import stop_after_delay, stop_when_event_set

from search.store.faults import find_error, own_sentence

log = logging.getLogger(__name__)

LONGEST_WAIT = 5.0  # seconds between two attempts
PASSING_SQLITE = {  # codes of SQLite's errors that may pass: https://www.sqlite.org/rescode.html
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
}
PASSING_POSTGRESQL = ("08", "53", "57P", "25P03", "40")  # connections, resources, shutdown, idle session, deadlock

Result = TypeVar("Result")


class Patience:
    """Calls a function again, with growing pauses, while the database does not answer.

    Args:
        seconds: how long to go on; then the last error is raised.
        stopping: ends the waiting early; the last error is raised.
    """

    def __init__(self, seconds: float, stopping: threading.Event | None = None) -> None:
        self._seconds = seconds
        self._stopping = stopping or threading.Event()

    def __call__(self, call: Callable[[bool], Result]) -> Result:
        """Return what ``call`` returns. It is told whether an earlier call failed, which may have been committed.

        Raises:
            Exception: whatever ``call`` raised last.
        """
        start = time.monotonic()
        retrying = Retrying(
            retry=retry_if_exception(is_passing),
            wait=wait_exponential_jitter(multiplier=0.1, max=LONGEST_WAIT, jitter=0.1),
            stop=stop_after_delay(self._seconds) | stop_when_event_set(self._stopping),
            sleep=sleep_using_event(self._stopping),
            before_sleep=self._announce,
            reraise=True,
        )
        for attempt in retrying:
            again = attempt.retry_state.attempt_number > 1
            with attempt:
                result = call(again)
                if again:
                    log.info("the database answers again after %.0f s", time.monotonic() - start)
                return result
        raise AssertionError("tenacity returns or raises")

    def _announce(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if state.attempt_number == 1 and error is not None:
            log.warning("the database does not answer; trying again for %g s: %s", self._seconds, own_sentence(error))


def is_passing(error: BaseException) -> bool:
    """Return whether an error may pass by itself; one about a statement or about data does not."""
    found = find_error(error)
    if found is None:
        return False
    if isinstance(found.orig, sqlite3.Error):
        return getattr(found.orig, "sqlite_errorcode", 0) & 0xFF in PASSING_SQLITE
    if state := getattr(found.orig, "sqlstate", None):
        return str(state).startswith(PASSING_POSTGRESQL)
    return found.connection_invalidated or isinstance(found, OperationalError | InterfaceError)
