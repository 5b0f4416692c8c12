"""Requests that may be repeated: the first is carried out, the others get its answer.

:func:`begin_reply`, what the request does and :func:`keep_reply` belong in one transaction. Then whoever comes second
waits in :func:`begin_reply` until the first has committed, and a request that dies half-way leaves nothing behind.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, select, update

from search.store.database import now
from search.store.tables import replies
from search.store.upsert import insert_or_ignore
from search.vocabulary.errors import Conflict, InvalidSpec

KEPT_SECONDS = 24 * 3600.0

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True)
class Answer:
    """What a request was answered."""

    status: int  #: of HTTP
    body: Any  #: a JSON value


def begin_reply(connection: Connection, owner: str, key: str, body: Any) -> Answer | None:
    """Claim a key for a request; return the answer of an earlier one, or None if this is the first and goes on.

    Args:
        connection: that may write; the transaction in which the request is carried out.
        owner: whose key it is: others may use the same.
        key: the client's ``Idempotency-Key``.
        body: of the request; a JSON value, compared whatever the order of its fields, or bytes, compared as they are.

    Raises:
        InvalidSpec: if the key is malformed, or came with another body in the last 24 hours.
        Conflict: if the earlier request was committed without an answer.
    """
    if not _KEY.fullmatch(key):
        raise InvalidSpec(
            f"an Idempotency-Key must be 1 to 255 printable ASCII characters without spaces: got {key[:300]!r}. "
            "Send e.g. a UUID."
        )
    digest = _digest(body)
    here = (replies.c.owner == owner) & (replies.c.key == key)
    first = insert_or_ignore(connection, replies).values(owner=owner, key=key, digest=digest, at=now())
    claim = first.returning(replies.c.key)
    while True:
        connection.execute(delete(replies).where(here, replies.c.at <= now() - KEPT_SECONDS))
        if connection.execute(claim).one_or_none():  # waits for others that claim the key
            return None
        row = connection.execute(select(replies).where(here).with_for_update()).one_or_none()
        if row is not None:  # else it was swept since
            break
    if row.digest != digest:
        raise InvalidSpec(
            f"an Idempotency-Key stands for one request: got {key!r} with another body than before. "
            "Send a new key with a new request."
        )
    if row.status is None:
        raise Conflict(f"the request with the Idempotency-Key {key!r} is still in progress. Repeat it in a while.")
    return Answer(row.status, row.answer)


def keep_reply(connection: Connection, owner: str, key: str, answer: Answer) -> None:
    """Keep the answer of a request that was begun, for those that repeat it within 24 hours.

    Raises:
        Conflict: if the request was not begun, or has an answer.
    """
    here = (replies.c.owner == owner) & (replies.c.key == key) & replies.c.status.is_(None)
    kept = connection.execute(update(replies).where(here).values(status=answer.status, answer=answer.body))
    if kept.rowcount != 1:
        raise Conflict(
            f"an answer is kept once, for a request that was begun: got a second one, or none begun, for {key!r}. "
            "Call begin_reply in the same transaction."
        )


def _digest(body: Any) -> str:
    if not isinstance(body, bytes):
        body = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(body).hexdigest()
