"""Who did what, to which search or token."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, insert, select

from search.store.database import now
from search.store.tables import audit
from search.views import AuditView
from search.vocabulary.states import Action
from service.accounts.tokens import Token

NOBODY = "local"  # the owner of what is done without a token, as of searches submitted at the command line


def record(connection: Connection, token: Token | None, action: Action, subject: str, detail: dict[str, Any]) -> None:
    """Record what is done, in the transaction that does it: both are kept or neither.

    Args:
        connection: that may write.
        token: whose holder does it; None for a process without one.
        action: what is done.
        subject: the id of a search or a token that exists.
        detail: a JSON object, without secrets.
    """
    owner, token_id = (token.owner, token.id) if token else (NOBODY, None)
    connection.execute(
        insert(audit).values(at=now(), token_id=token_id, owner=owner, action=action, subject=subject, detail=detail)
    )


def list_audit(connection: Connection, subject: str | None = None, after: int = 0, limit: int = 200) -> list[AuditView]:
    """Return what was done, oldest first: to one subject or to all, after an entry's id, at most ``limit``."""
    query = select(audit).where(audit.c.id > after).order_by(audit.c.id).limit(limit)
    if subject is not None:
        if not (subject.isascii() and subject.isprintable()):
            return []  # no id is such a text, and PostgreSQL's driver refuses some of them
        query = query.where(audit.c.subject == subject)
    return [AuditView(**row._mapping) for row in connection.execute(query)]


def newest_audit(connection: Connection, limit: int) -> list[AuditView]:
    """Return what was done lately, newest first."""
    query = select(audit).order_by(audit.c.id.desc()).limit(limit)
    return [AuditView(**row._mapping) for row in connection.execute(query)]
