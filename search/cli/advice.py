"""Advice that other parts give, e.g. ``seqnorm resume ID``, as it works where it is printed."""

from __future__ import annotations

import re

_ADVICE = re.compile(
    r"(?<![\w/.-])seqnorm (?=(cancel|db|export|gc-files|list|logs|pause|plan|recipes|resume|retry|serve|show|submit"
    r"|token|tune|watch|widen|worker)\b)"
)


def localize(text: str, program: str) -> str:
    """Replace the name of the program in advice by the words that reach the same database.

    Reasons are stored and errors are raised where nobody knows which options a command was given.
    """
    return _ADVICE.sub(lambda _: f"{program} ", text)
