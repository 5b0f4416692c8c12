"""What trials have printed."""

from __future__ import annotations

import os
from typing import Any

from search.plan import Replicate
from search.selection import Point
from search.settings import Settings

TAIL_BYTES = 64 * 1024


def tail(settings: Settings, search_id: str, trial: dict[str, Any]) -> str:
    """Return the end of the log of a trial's point and seed; nothing if it has printed nothing here.

    The name is made of what the store has, and a link in its place is not followed.
    """
    replicate = Replicate(trial["stage"], Point(trial["variant"], trial["gm"], trial["gc"]), trial["seed"])
    path = settings.log_of(search_id, replicate.key)
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
