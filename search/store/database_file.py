"""Notices that the file of an SQLite database is gone or another one.

SQLite itself goes on with a file that was deleted while it was open, and creates an empty one at the next connection.
"""

from __future__ import annotations

import os
import sqlite3
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import DisconnectionError


class FileGone(sqlite3.OperationalError):
    """There is no file where the database was. It may come back, e.g. from a back-up."""

    sqlite_errorcode = sqlite3.SQLITE_CANTOPEN


def guard_file(engine: Engine) -> None:
    """Make an engine refuse to create its file, and replace connections to one that is not at its path any more.

    Raises:
        DatabaseError: from then on, where a connection is needed and there is no file.
    """
    path = engine.url.database
    if not path or path == ":memory:" or path.startswith("file:"):
        return
    before = _identify(path)  # of connections that are open already: Optuna's engine is guarded after its first one

    @event.listens_for(engine, "do_connect")
    def _require(*_: Any) -> None:
        if _identify(path) is None:
            raise FileGone(f"no file at {path}; it was deleted or moved")

    @event.listens_for(engine, "connect")
    def _remember(_: sqlite3.Connection, record: Any) -> None:
        record.info["file"] = _identify(path)

    @event.listens_for(engine, "checkout")
    def _compare(_: sqlite3.Connection, record: Any, __: Any) -> None:
        if _identify(path) != record.info.get("file", before):
            raise DisconnectionError  # has the pool connect anew


def _identify(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
