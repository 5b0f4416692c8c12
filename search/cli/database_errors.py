"""Messages for database errors."""

from __future__ import annotations

from search.store.database import DatabaseError
from search.vocabulary.secret import redact


def database_error_message(error: Exception) -> str | None:
    """Return a message for a database error; None for any other error."""
    if not isinstance(error, DatabaseError):
        return None
    return (
        f"the database must be readable and writable: got {redact(' '.join(str(error.orig).split()))}. "
        "Check that it exists and who owns it, or name another with --db URL."
    )
