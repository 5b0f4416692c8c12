"""Browser sessions, identified by a cookie, and login links that work once. Both end when their token does."""

from __future__ import annotations

import secrets

from sqlalchemy import ColumnElement, Connection, delete, insert, select

from search.store.database import now
from search.store.tables import replies, sessions, tokens
from service.accounts.idempotency import RETENTION_SECONDS
from service.accounts.tokens import Token, check_lifetime, hash_secret, select_tokens, token_from_row


def open_session(connection: Connection, token: Token, lifetime: float) -> str:
    """Open a session for ``lifetime`` seconds. Return the value of its cookie, of which only the hash is stored.

    Raises:
        InvalidSpec: if ``lifetime`` is not positive and finite.
    """
    return _create(connection, "session", token, lifetime)


def authenticate_session(connection: Connection, cookie: str) -> Token | None:
    """Return the token of a session; None if either is unknown, expired or revoked. Writes nothing."""
    found = select_tokens().join(sessions).where(*_is_valid("session", cookie))
    row = connection.execute(found).one_or_none()
    token = token_from_row(row) if row else None
    return token if token and token.active else None


def close_session(connection: Connection, cookie: str) -> None:
    """End a session if it exists."""
    connection.execute(delete(sessions).where(*_is_valid("session", cookie)))


def create_login_link(connection: Connection, token: Token, lifetime: float = 600) -> str:
    """Return a code that logs in once within ``lifetime`` seconds.

    Raises:
        InvalidSpec: if ``lifetime`` is not positive and finite.
    """
    return _create(connection, "link", token, lifetime)


def is_login_link(connection: Connection, code: str) -> bool:
    """Tell whether a code would log in now. Writes nothing."""
    return connection.execute(select(sessions.c.hash).where(*_is_valid("link", code))).first() is not None


def redeem_login_link(connection: Connection, code: str) -> Token | None:
    """Use up a code and return its token; None if the code was used before, or either is expired or revoked."""
    used = delete(sessions).where(*_is_valid("link", code)).returning(sessions.c.token_id)
    token_id = connection.execute(used).scalar_one_or_none()  # of several requests at once, one deletes the row
    if token_id is None:
        return None
    token = token_from_row(connection.execute(select_tokens().where(tokens.c.id == token_id)).one())
    return token if token.active else None


def delete_expired(connection: Connection) -> int:
    """Delete expired sessions, login links and stored responses; return how many."""
    expired = connection.execute(delete(sessions).where(sessions.c.expires_at <= now()))
    old = connection.execute(delete(replies).where(replies.c.at <= now() - RETENTION_SECONDS))
    return expired.rowcount + old.rowcount


def _create(connection: Connection, kind: str, token: Token, lifetime: float) -> str:
    secret = secrets.token_urlsafe(32)
    expires_at = now() + check_lifetime(lifetime)
    connection.execute(
        insert(sessions).values(
            hash=hash_secret(secret), kind=kind, token_id=token.id, created_at=now(), expires_at=expires_at
        )
    )
    return secret


def _is_valid(kind: str, secret: str) -> tuple[ColumnElement[bool], ...]:
    return sessions.c.hash == hash_secret(secret), sessions.c.kind == kind, sessions.c.expires_at > now()
