"""The audit trail: who did what to which search, token or data set."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, insert, select

from search.store.database import now
from search.store.tables import audit
from search.views import AuditView
from search.vocabulary.states import Action
from service.accounts.tokens import Token

LOCAL_OWNER = "local"  # the owner where there is no token, e.g. of searches submitted on the command line


def record_action(
    connection: Connection, token: Token | None, action: Action, subject: str, detail: dict[str, Any]
) -> None:
    """Record an action in the transaction that performs it, so that both commit or neither.

    Args:
        connection: must be able to write.
        token: whose holder acts; None for a process without a token.
        action: what is done.
        subject: id of an existing search or token, or the name of a data set.
        detail: a JSON object, without secrets.
    """
    owner, token_id = (token.owner, token.id) if token else (LOCAL_OWNER, None)
    connection.execute(
        insert(audit).values(at=now(), token_id=token_id, owner=owner, action=action, subject=subject, detail=detail)
    )


def list_audit(connection: Connection, subject: str | None = None, after: int = 0, limit: int = 200) -> list[AuditView]:
    """Return at most ``limit`` entries with ids above ``after``, oldest first; of one subject if it is given."""
    query = select(audit).where(audit.c.id > after).order_by(audit.c.id).limit(limit)
    if subject is not None:
        if not (subject.isascii() and subject.isprintable()):
            return []  # no id has other characters, and PostgreSQL's driver refuses some of them
        query = query.where(audit.c.subject == subject)
    return [AuditView(**row._mapping) for row in connection.execute(query)]


def list_newest_audit(connection: Connection, limit: int) -> list[AuditView]:
    """Return the newest entries, newest first."""
    query = select(audit).order_by(audit.c.id.desc()).limit(limit)
    return [AuditView(**row._mapping) for row in connection.execute(query)]
