"""Idempotency keys: the first request with a key is carried out, repetitions get the stored response.

Call :func:`claim_key`, carry out the request and call :func:`store_response` in one transaction. Then a repetition
waits in :func:`claim_key` until the first request has committed, and a failed request leaves nothing behind.
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

RETENTION_SECONDS = 24 * 3600.0

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True)
class StoredResponse:
    """The response to the first request with a key."""

    status: int  #: HTTP status code
    body: Any  #: a JSON value


def claim_key(connection: Connection, owner: str, key: str, body: Any) -> StoredResponse | None:
    """Claim a key for a request. Return the response to an earlier request with it; None if this is the first.

    Args:
        connection: must be able to write; its transaction carries out the request.
        owner: keys of different owners are independent.
        key: the client's ``Idempotency-Key``.
        body: of the request. A JSON value is compared regardless of the order of its fields, bytes as they are.

    Raises:
        InvalidSpec: if the key is malformed, or was used with another body in the last 24 hours.
        Conflict: if the earlier request was committed without a response.
    """
    if not _KEY.fullmatch(key):
        raise InvalidSpec(
            f"an Idempotency-Key must be 1 to 255 printable ASCII characters without spaces: got {key[:300]!r}. "
            "Send e.g. a UUID."
        )
    digest = _digest(body)
    same_key = (replies.c.owner == owner) & (replies.c.key == key)
    insertion = insert_or_ignore(connection, replies).values(owner=owner, key=key, digest=digest, at=now())
    claim = insertion.returning(replies.c.key)
    while True:
        connection.execute(delete(replies).where(same_key, replies.c.at <= now() - RETENTION_SECONDS))
        if connection.execute(claim).one_or_none():  # waits for other transactions that claim the key
            return None
        row = connection.execute(select(replies).where(same_key).with_for_update()).one_or_none()
        if row is not None:  # None: deleted meanwhile, because it had expired
            break
    if row.digest != digest:
        raise InvalidSpec(
            f"an Idempotency-Key stands for one request: got {key!r} with another body than before. "
            "Send a new key with a new request."
        )
    if row.status is None:
        raise Conflict(f"the request with the Idempotency-Key {key!r} is still in progress. Repeat it in a while.")
    return StoredResponse(row.status, row.answer)


def store_response(connection: Connection, owner: str, key: str, response: StoredResponse) -> None:
    """Store the response to a request whose key was claimed, for repetitions within 24 hours.

    Raises:
        Conflict: if the key was not claimed, or has a response already.
    """
    unanswered = (replies.c.owner == owner) & (replies.c.key == key) & replies.c.status.is_(None)
    stored = connection.execute(update(replies).where(unanswered).values(status=response.status, answer=response.body))
    if stored.rowcount != 1:
        raise Conflict(
            f"a response is stored once, for a claimed key: got a second one, or a key not claimed, for {key!r}. "
            "Call claim_key in the same transaction."
        )


def _digest(body: Any) -> str:
    if not isinstance(body, bytes):
        body = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(body).hexdigest()
