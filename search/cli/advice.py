"""Advice that other parts give, e.g. ``seqnorm resume ID``, as it works where it is printed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from search.settings import Settings

_ADVICE = re.compile(
    r"(?<![\w/.-])seqnorm (?=(cancel|db|export|gc-files|grid|init|landscape|list|logs|pause|plan|recipes|resume|retry"
    r"|serve|show|submit|token|tune|watch|widen|worker)\b)"
)


def localize(text: str, program: str) -> str:
    """Replace the name of the program in advice by the words that reach the same database.

    Reasons are stored and errors are raised where nobody knows which options a command was given.
    """
    return _ADVICE.sub(lambda _: f"{program} ", text)


def advise_start(settings: Settings, program: str = "seqnorm") -> str:
    """Say how a first search is started. A service runs none in the foreground."""
    if settings.url:
        return f"Start one with: {program} submit -f FILE"
    return f"Start one with: {program} tune digits-mlp --gm 1,2,4,8 --gc 1,2"
