"""Names that a mistyped one was probably meant to be. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

LONGEST = 100  # characters of a word that is compared; comparing a longer one takes long


def near_misses(word: str, known: Iterable[str]) -> list[str]:
    """Return the known names that a word may stand for, the likeliest first: spelt alike, else begun or abbreviated."""
    names = {_fold(name): name for name in known}
    folded = _fold(word)
    if not folded or len(word) > LONGEST:
        return []
    alike = get_close_matches(folded, names)
    short = [name for name in names if name.startswith(folded) or _initials(name) == folded]
    return [names[name] for name in alike or short]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `` Did you mean NAME?``, the end of a message; empty if no known name is like the word."""
    found = near_misses(word, known)
    return f" Did you mean {' or '.join(found[:3])}?" if found else ""


def _fold(name: str) -> str:
    return name.strip().lower().replace("_", "-")


def _initials(name: str) -> str:
    return "".join(word[:1] for word in re.split("[-. ]", name))
