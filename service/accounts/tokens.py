"""Tokens: what a program sends with every request, and what a person logs in with."""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, or_, select, update

from search.store.database import now
from search.store.searches import ALPHABET
from search.store.tables import sessions, tokens
from search.views import TokenView
from search.vocabulary.errors import InvalidSpec, NotFound

SCOPES = ("read", "submit", "manage", "admin")
TOUCH_SECONDS = 60.0  # last use is written at most this often: a write for every read would wait for SQLite's one lock

_ID = re.compile(f"[{ALPHABET}]{{12}}")
_TEXT = re.compile(f"seqnorm_({_ID.pattern})_([A-Za-z0-9_-]{{43}})")
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class Token:
    """A token, without its secret."""

    id: str
    name: str  #: what it is for, in its owner's words
    owner: str
    scopes: tuple[str, ...]  #: of SCOPES; admin stands for all
    created_at: float
    expires_at: float | None  #: None: never
    revoked_at: float | None
    last_used_at: float | None  #: to the minute
    read_at: float = field(compare=False)  #: the database's clock when this was read

    def allows(self, scope: str) -> bool:
        """Tell whether the token has a scope."""
        return scope in self.scopes or "admin" in self.scopes

    @property
    def active(self) -> bool:
        """Whether it was neither expired nor revoked when it was read."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > self.read_at)

    @property
    def touch_due(self) -> bool:
        """Whether :func:`touch` would write, so that a caller need not open a writing transaction otherwise."""
        return self.last_used_at is None or self.last_used_at <= self.read_at - TOUCH_SECONDS


def create_token(
    connection: Connection, *, name: str, owner: str, scopes: Iterable[str], lasts: float | None
) -> tuple[Token, str]:
    """Store a new token; return it, and its text, which nobody can show again.

    Args:
        connection: that may write.
        name: what it is for.
        owner: whose it is.
        scopes: some of ``SCOPES``.
        lasts: seconds until it expires; None for never.

    Raises:
        InvalidSpec: if one of these cannot be.
    """
    chosen = _checked(name, owner, list(scopes), lasts)
    token_id = "".join(secrets.choice(ALPHABET) for _ in range(12))
    secret = secrets.token_urlsafe(32)
    connection.execute(
        insert(tokens).values(
            id=token_id,
            name=name,
            owner=owner,
            hash=hashed(secret),
            scopes=chosen,
            created_at=now(),
            expires_at=None if lasts is None else now() + lasts,
        )
    )
    row = connection.execute(selected().where(tokens.c.id == token_id)).one()
    return from_row(row), f"seqnorm_{token_id}_{secret}"


def token_of(connection: Connection, text: str) -> Token | None:
    """Return the token with this text; None if there is none, or it is expired or revoked. Writes nothing."""
    parts = _TEXT.fullmatch(text)
    if parts is None:
        return None
    row = connection.execute(selected().add_columns(tokens.c.hash).where(tokens.c.id == parts[1])).one_or_none()
    if row is None or not hmac.compare_digest(row.hash, hashed(parts[2])):
        return None
    token = from_row(row)
    return token if token.active else None


def touch(connection: Connection, token: Token) -> None:
    """Write that a token is used now, unless that was written within the last minute."""
    rested = or_(tokens.c.last_used_at.is_(None), tokens.c.last_used_at <= now() - TOUCH_SECONDS)
    connection.execute(update(tokens).where(tokens.c.id == token.id, rested).values(last_used_at=now()))


def revoke(connection: Connection, token_id: str) -> None:
    """Refuse a token from now on, and end its sessions and links; revoking it again changes nothing.

    Raises:
        NotFound: if no token has that id.
    """
    revoked = update(tokens).where(tokens.c.id == token_id).values(revoked_at=func.coalesce(tokens.c.revoked_at, now()))
    if not _ID.fullmatch(token_id) or connection.execute(revoked).rowcount == 0:
        raise NotFound(f"no token has the id {token_id!r}. List them with: seqnorm token list")
    connection.execute(delete(sessions).where(sessions.c.token_id == token_id))


def list_tokens(connection: Connection) -> list[Token]:
    """Return every token, oldest first; revoked and expired ones too."""
    return [from_row(row) for row in connection.execute(selected().order_by(tokens.c.created_at, tokens.c.id))]


def shown(token: Token) -> TokenView:
    """Return a token as it is listed."""
    return TokenView(**asdict(token), active=token.active)


def hashed(secret: str) -> str:
    """Return the hexadecimal SHA-256 of any text, lone surrogates included."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def selected() -> Select[Any]:
    """Return the query whose rows :func:`from_row` reads."""
    shown = [column for column in tokens.c if column is not tokens.c.hash]
    return select(*shown, now().label("read_at"))


def from_row(row: Any) -> Token:
    """Return a token as its row says."""
    values = {name: value for name, value in row._mapping.items() if name != "hash"}
    return Token(**values | {"scopes": tuple(row.scopes)})


def checked_seconds(lasts: float) -> float:
    """Return a lifetime.

    Raises:
        InvalidSpec: if it is not positive and finite.
    """
    if not (math.isfinite(lasts) and lasts > 0):
        raise InvalidSpec(f"a lifetime must be a positive number of seconds: got {lasts}. Give e.g. 86400 for a day.")
    return lasts


def _checked(name: str, owner: str, scopes: list[str], lasts: float | None) -> list[str]:
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
    if lasts is not None:
        checked_seconds(lasts)
    return [scope for scope in SCOPES if scope in scopes]
