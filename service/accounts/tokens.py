"""API tokens. A program sends one with every request; a person logs in with one."""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, func, insert, or_, select, update

from search.store.database import now
from search.store.searches import ALPHABET
from search.store.tables import sessions, tokens
from search.views import TokenView
from search.vocabulary.errors import InvalidSpec, NotFound

SCOPES = ("read", "submit", "manage", "admin")
TOUCH_SECONDS = (
    60.0  # last use is recorded at most this often: a write with every read would wait for SQLite's write lock
)

_ID = re.compile(f"[{ALPHABET}]{{12}}")
_TEXT = re.compile(f"seqnorm_({_ID.pattern})_([A-Za-z0-9_-]{{43}})")
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class Token:
    """An API token without its secret."""

    id: str
    name: str  #: what it is for
    owner: str
    scopes: tuple[str, ...]  #: subset of SCOPES; admin includes all
    created_at: float
    expires_at: float | None  #: None if never
    revoked_at: float | None
    last_used_at: float | None  #: to the minute
    read_at: float = field(compare=False)  #: time of the database when this was read

    def allows(self, scope: str) -> bool:
        """Tell whether the token has a scope, itself or through ``admin``."""
        return scope in self.scopes or "admin" in self.scopes

    @property
    def active(self) -> bool:
        """Whether it was neither expired nor revoked when read."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > self.read_at)

    @property
    def touch_due(self) -> bool:
        """Whether :func:`touch` would write. If not, a caller need not open a transaction that writes."""
        return self.last_used_at is None or self.last_used_at <= self.read_at - TOUCH_SECONDS


def create_token(
    connection: Connection, *, name: str, owner: str, scopes: Iterable[str], lifetime: float | None
) -> tuple[Token, str]:
    """Create a token; return it and its text, which cannot be recovered later.

    Args:
        connection: must be able to write.
        name: what it is for.
        owner: whose searches it submits and changes.
        scopes: at least one of ``SCOPES``.
        lifetime: seconds until it expires; None for never.

    Raises:
        InvalidSpec: if one of these is invalid.
    """
    checked_scopes = _check_fields(name, owner, list(scopes), lifetime)
    token_id = "".join(secrets.choice(ALPHABET) for _ in range(12))
    secret = secrets.token_urlsafe(32)
    connection.execute(
        insert(tokens).values(
            id=token_id,
            name=name,
            owner=owner,
            hash=hash_secret(secret),
            scopes=checked_scopes,
            created_at=now(),
            expires_at=None if lifetime is None else now() + lifetime,
        )
    )
    row = connection.execute(select_tokens().where(tokens.c.id == token_id)).one()
    return token_from_row(row), f"seqnorm_{token_id}_{secret}"


def authenticate_token(connection: Connection, text: str) -> Token | None:
    """Return the token with this text; None if it is unknown, expired or revoked. Writes nothing."""
    parts = _TEXT.fullmatch(text)
    if parts is None:
        return None
    row = connection.execute(_TOKEN_BY_ID, {"id": parts[1]}).one_or_none()
    if row is None or not hmac.compare_digest(row.hash, hash_secret(parts[2])):
        return None
    token = token_from_row(row)
    return token if token.active else None


def touch(connection: Connection, token: Token) -> None:
    """Record that a token is used now, unless that was recorded within the last minute."""
    is_due = or_(tokens.c.last_used_at.is_(None), tokens.c.last_used_at <= now() - TOUCH_SECONDS)
    connection.execute(update(tokens).where(tokens.c.id == token.id, is_due).values(last_used_at=now()))


def revoke_token(connection: Connection, token_id: str) -> None:
    """Revoke a token; end its sessions and login links. Revoking it again changes nothing.

    Raises:
        NotFound: if no token has that id.
    """
    revocation = (
        update(tokens).where(tokens.c.id == token_id).values(revoked_at=func.coalesce(tokens.c.revoked_at, now()))
    )
    if not _ID.fullmatch(token_id) or connection.execute(revocation).rowcount == 0:
        raise NotFound(f"no token has the id {token_id!r}. List them with: seqnorm token list")
    connection.execute(delete(sessions).where(sessions.c.token_id == token_id))


def list_tokens(connection: Connection) -> list[Token]:
    """Return all tokens, oldest first, revoked and expired ones included."""
    return [
        token_from_row(row) for row in connection.execute(select_tokens().order_by(tokens.c.created_at, tokens.c.id))
    ]


def to_view(token: Token) -> TokenView:
    """Convert a token to the view that the API returns."""
    return TokenView(**asdict(token), active=token.active)


def hash_secret(secret: str) -> str:
    """Return the hexadecimal SHA-256 of a text, which may contain lone surrogates."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def select_tokens() -> Select[Any]:
    """Return the query whose rows :func:`token_from_row` reads."""
    columns = [column for column in tokens.c if column is not tokens.c.hash]
    return select(*columns, now().label("read_at"))


_TOKEN_BY_ID = (  # built once, as every request executes it
    select_tokens().add_columns(tokens.c.hash).where(tokens.c.id == bindparam("id"))
)


def token_from_row(row: Any) -> Token:
    """Build a token from a row of :func:`select_tokens`."""
    values = {name: value for name, value in row._mapping.items() if name != "hash"}
    return Token(**values | {"scopes": tuple(row.scopes)})


def check_lifetime(lifetime: float) -> float:
    """Check a lifetime in seconds and return it.

    Raises:
        InvalidSpec: if it is not positive and finite.
    """
    if not (math.isfinite(lifetime) and lifetime > 0):
        raise InvalidSpec(
            f"a lifetime must be a positive number of seconds: got {lifetime}. Give e.g. 86400 for a day."
        )
    return lifetime


def _check_fields(name: str, owner: str, scopes: list[str], lifetime: float | None) -> list[str]:
    if not (0 < len(name) <= 100 and name.isprintable()):
        raise InvalidSpec(
            f"a token's name must be 1 to 100 printable characters: got {name[:200]!r}. Say what it is for."
        )
    if not _OWNER.fullmatch(owner):
        raise InvalidSpec(
            f"an owner must be 1 to 64 letters, digits, dots, dashes, underscores or @, a letter or digit first: "
            f"got {owner[:200]!r}. Give e.g. a user name."
        )
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        got = repr(unknown[0]) if unknown else "none"
        raise InvalidSpec(f"a token must have one scope or more of {', '.join(SCOPES)}: got {got}. Choose from these.")
    if lifetime is not None:
        check_lifetime(lifetime)
    return [scope for scope in SCOPES if scope in scopes]
