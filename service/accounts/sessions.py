"""Sessions of a browser, behind a cookie, and links that log in once. Both end with the token that opened them."""

from __future__ import annotations

import secrets

from sqlalchemy import ColumnElement, Connection, delete, insert

from search.store.database import now
from search.store.tables import replies, sessions, tokens
from service.accounts.replies import KEPT_SECONDS
from service.accounts.tokens import Token, checked_seconds, from_row, hashed, selected


def open_session(connection: Connection, token: Token, lasts: float) -> str:
    """Open a session of ``lasts`` seconds; return its cookie's value, of which only the hash is kept.

    Raises:
        InvalidSpec: if ``lasts`` is not positive and finite.
    """
    return _open(connection, "session", token, lasts)


def session_of(connection: Connection, cookie: str) -> Token | None:
    """Return the token of a session; None if it, or its token, is unknown, expired or revoked. Writes nothing."""
    found = selected().join(sessions).where(*_valid("session", cookie))
    row = connection.execute(found).one_or_none()
    token = from_row(row) if row else None
    return token if token and token.active else None


def close_session(connection: Connection, cookie: str) -> None:
    """End a session, if there is one."""
    connection.execute(delete(sessions).where(*_valid("session", cookie)))


def open_link(connection: Connection, token: Token, lasts: float = 600) -> str:
    """Return a code that logs in once, within ``lasts`` seconds.

    Raises:
        InvalidSpec: if ``lasts`` is not positive and finite.
    """
    return _open(connection, "link", token, lasts)


def redeem_link(connection: Connection, code: str) -> Token | None:
    """Use a code up; return its token, or None if it was used before, or it or its token is expired or revoked."""
    used = delete(sessions).where(*_valid("link", code)).returning(sessions.c.token_id)
    token_id = connection.execute(used).scalar_one_or_none()  # of requests that race, one deletes the row
    if token_id is None:
        return None
    token = from_row(connection.execute(selected().where(tokens.c.id == token_id)).one())
    return token if token.active else None


def sweep(connection: Connection) -> int:
    """Remove expired sessions and links, and answers that are no longer kept; return how many there were."""
    expired = connection.execute(delete(sessions).where(sessions.c.expires_at <= now()))
    old = connection.execute(delete(replies).where(replies.c.at <= now() - KEPT_SECONDS))
    return expired.rowcount + old.rowcount


def _open(connection: Connection, kind: str, token: Token, lasts: float) -> str:
    secret = secrets.token_urlsafe(32)
    ends = now() + checked_seconds(lasts)
    connection.execute(
        insert(sessions).values(hash=hashed(secret), kind=kind, token_id=token.id, created_at=now(), expires_at=ends)
    )
    return secret


def _valid(kind: str, secret: str) -> tuple[ColumnElement[bool], ...]:
    return sessions.c.hash == hashed(secret), sessions.c.kind == kind, sessions.c.expires_at > now()
