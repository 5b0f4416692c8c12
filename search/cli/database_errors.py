"""A database's errors, in a sentence."""

from __future__ import annotations

from search.store.database import DatabaseError
from search.vocabulary.secret import redact


def database_error_message(error: Exception) -> str | None:
    """Say what a database refused; None for any other error."""
    if not isinstance(error, DatabaseError):
        return None
    return (
        f"the database must be readable and writable: got {redact(' '.join(str(error.orig).split()))}. "
        "Check that it exists and who owns it, or name another with --db URL."
    )
