"""Says in a sentence what is wrong with a database. What drivers and SQLAlchemy say goes on with SQL and its values."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from enum import Enum

from sqlalchemy.exc import DBAPIError

from search.store.database_file import FileGone
from search.vocabulary.secret import redact


class Fault(Enum):
    """What is wrong with a database. The value tells users of commands; ``{cause}`` is the driver's sentence."""

    LOCKED = "the database must be free to write: got a lock of another process ({cause}). Try again shortly."
    FULL = "the database must have room to write: got {cause}. Make room, then try again."
    GONE = (
        "the database must exist: got {cause}. Restore it from a back-up, or name another with --home DIR or --db URL."
    )
    OTHER = (
        "the database must be readable and writable: got {cause}. "
        "Check that it exists and who owns it, or name another with --db URL."
    )


_SQLITE = {sqlite3.SQLITE_BUSY: Fault.LOCKED, sqlite3.SQLITE_LOCKED: Fault.LOCKED, sqlite3.SQLITE_FULL: Fault.FULL}
_POSTGRESQL = {"55P03": Fault.LOCKED, "53100": Fault.FULL}  # lock_not_available, disk_full


def find_fault(error: BaseException) -> Fault | None:
    """Return what is wrong with the database; None if an error has another cause."""
    found = find_error(error)
    if found is None:
        return None
    if isinstance(found.orig, FileGone):
        return Fault.GONE
    if isinstance(found.orig, sqlite3.Error):
        return _SQLITE.get(getattr(found.orig, "sqlite_errorcode", 0) & 0xFF, Fault.OTHER)
    return _POSTGRESQL.get(str(getattr(found.orig, "sqlstate", None)), Fault.OTHER)


def own_sentence(error: BaseException) -> str:
    """Return what the driver of the database says, without SQL, values and secrets; else what the error says."""
    found = find_error(error)
    text = str(found.orig if found is not None else error).strip()
    return redact((text.splitlines() or [type(error).__name__])[0].strip())  # the lines after it quote rows


def database_message(error: BaseException) -> str | None:
    """Return a message with a remedy for a database's error; None for any other error."""
    fault = find_fault(error)
    return fault.value.format(cause=own_sentence(error)) if fault else None


def find_error(error: BaseException) -> DBAPIError | None:
    """Return the database's error among an error and its causes: Optuna wraps them."""
    return next((each for each in _chain(error) if isinstance(each, DBAPIError)), None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
