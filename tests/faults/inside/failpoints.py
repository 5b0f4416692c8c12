"""Faults at the boundaries of transactions, and steps of the clock, in the process that imports this.

A point happens once in a run, in the first process of its role that commits that often; the folder says which have.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any


class Failpoints:
    """The points of this process; ``claim`` has one process take each."""

    def __init__(self, points: list[dict[str, Any]], folder: Path) -> None:
        self._points, self._folder = points, folder
        self._commits, self._lock = 0, threading.Lock()
        self._full_until = 0.0

    def commit(self, dialect: Any, connection: Any, commit: Any) -> None:
        """Commit, and let happen what is planned before and after it."""
        with self._lock:
            self._commits += 1
            due = [point for point in self._points if point["commit"] <= self._commits and self._claim(point)]
        for point in due:
            if point["action"] == "full":
                self._full_until = time.monotonic() + point["seconds"]
            elif point["when"] == "before":
                self._happen(point)
        if time.monotonic() < self._full_until:
            connection.rollback()
            raise no_space(dialect)
        commit(dialect, connection)
        for point in due:
            if point["action"] == "lose reply":
                if dialect.name == "postgresql":
                    connection.dbapi_connection.close()  # as a lost connection is; that of the pool is only returned
                raise lost_reply(dialect)
            if point["when"] == "after" and point["action"] != "full":
                self._happen(point)

    def _claim(self, point: dict[str, Any]) -> bool:
        try:
            with (self._folder / f"happened-{point['id']}").open("x") as file:
                file.write(f"{time.monotonic()} {os.getpid()}")
        except FileExistsError:
            return False
        return True

    def _happen(self, point: dict[str, Any]) -> None:
        if point["action"] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif point["action"] == "freeze":
            words = ["sh", "-c", f"sleep {point['seconds']}; kill -CONT {os.getpid()}"]
            subprocess.Popen(words, start_new_session=True)
            os.kill(os.getpid(), signal.SIGSTOP)
        elif point["action"] == "delay":
            time.sleep(point["seconds"])


def no_space(dialect: Any) -> Exception:
    """Return what the driver of a database raises on a full disk."""
    if dialect.name == "sqlite":
        return sqlite_error("database or disk is full", "SQLITE_FULL")
    import psycopg

    return psycopg.errors.DiskFull("could not extend file: No space left on device")


def lost_reply(dialect: Any) -> Exception:
    """Return what the driver of a database raises if it gets no answer."""
    if dialect.name == "sqlite":
        return sqlite_error("disk I/O error", "SQLITE_IOERR")
    import psycopg

    return psycopg.OperationalError("server closed the connection unexpectedly")


def sqlite_error(message: str, name: str) -> Exception:
    import sqlite3

    error = sqlite3.OperationalError(message)
    error.sqlite_errorcode, error.sqlite_errorname = getattr(sqlite3, name), name
    return error


def step_clock(after: float, seconds: float) -> None:
    """Have this process see a clock that steps, as its own and as the kernel's, whose boot time steps with it."""
    import psutil._pslinux

    real, boot, started = time.time, psutil._pslinux.boot_time, time.monotonic()

    def offset() -> float:
        return seconds if time.monotonic() - started > after else 0.0

    time.time = lambda: real() + offset()
    psutil._pslinux.boot_time = lambda: boot() + offset()


def install(role: str, points: list[dict[str, Any]], folder: Path) -> None:
    """Set the points of a role."""
    own = [point for point in points if point["role"] == role]
    for point in own:
        if point["action"] == "step clock":
            step_clock(point["after"], point["seconds"])
    at_commits = [point for point in own if "commit" in point]
    if not at_commits:
        return
    from sqlalchemy.engine.default import DefaultDialect

    failpoints, commit = Failpoints(at_commits, folder), DefaultDialect.do_commit
    DefaultDialect.do_commit = lambda self, connection: failpoints.commit(self, connection, commit)


def replace_module(name: str, file: Path) -> None:
    """Have a module be imported from a file of ours."""

    class Finder(importlib.abc.MetaPathFinder):
        def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
            return importlib.util.spec_from_file_location(name, file) if fullname == name else None

    sys.meta_path.insert(0, Finder())
