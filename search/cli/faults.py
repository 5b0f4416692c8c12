"""A database's errors, in a sentence."""

from __future__ import annotations

from search.store.database import DatabaseFault
from search.vocabulary.secret import redacted


def said_of_database(error: Exception) -> str | None:
    """Say what a database refused; None for any other error."""
    if not isinstance(error, DatabaseFault):
        return None
    return (
        f"the database must be readable and writable: got {redacted(' '.join(str(error.orig).split()))}. "
        "Check that it exists and who owns it, or name another with --db URL."
    )
