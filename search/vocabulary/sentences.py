"""Removes from an exception's text what SQLAlchemy adds to its own sentence: SQL, its values and a link."""

from __future__ import annotations

import re

_ADDED = re.compile(r"\s*(?:\[SQL: .*?)?\(Background on this error at: [^)\s]*\)", re.DOTALL)
_VALUES = re.compile(r"\n *DETAIL: .*")  # of PostgreSQL, with the values of a row


def own_sentences(text: str) -> str:
    """Return a text without SQL, values and links that belong to exceptions of databases."""
    if "Background on this error at" in text:
        text = _ADDED.sub("", text)
    return _VALUES.sub("", text) if "DETAIL: " in text else text
