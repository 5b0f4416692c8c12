"""Cursors: where the next page of a list begins, as text that clients pass back unread."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

from search.views import SearchRow
from search.vocabulary.errors import InvalidSpec

Position = tuple[str | float, str]  #: the sorted value of a row, and the id of its search


def write_cursor(last: SearchRow, sort: str) -> str:
    """Return the cursor of the page after a row."""
    value = last.name if sort.endswith("name") else last.created_at
    return base64.urlsafe_b64encode(json.dumps([sort, value, last.search]).encode()).decode()


def read_cursor(cursor: str, sort: str) -> Position:
    """Return the position that a cursor stands for.

    Raises:
        InvalidSpec: if it was not written for this sort.
    """
    position = _decode(cursor)
    if isinstance(position, list) and len(position) == 3:
        written_for, value, id = position
        if written_for == sort and isinstance(id, str) and id.isascii() and id.isalnum() and _can_sort(value, sort):
            return value, id
    raise InvalidSpec(
        f"cursor must be the next of an earlier page with the same sort: got {cursor[:80]!r}. Leave it out."
    )


def _decode(cursor: str) -> Any:
    """Return the JSON value in a cursor, its integers as floats; None if there is none."""
    try:
        return json.loads(base64.urlsafe_b64decode(cursor), parse_int=float)
    except (ValueError, RecursionError):  # no base64, no UTF-8, no JSON, or too deep
        return None


def _can_sort(value: Any, sort: str) -> bool:
    if sort.endswith("name"):
        return isinstance(value, str) and value.isprintable()
    return isinstance(value, float) and math.isfinite(value)
