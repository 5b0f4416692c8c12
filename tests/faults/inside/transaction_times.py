"""Appends how long each transaction of this process took, in seconds, to a file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any


def record(file: Path) -> None:
    """Record the transactions of every engine from now on."""
    from sqlalchemy import Engine, event

    started: dict[Any, float] = {}

    def begin(connection: Any) -> None:
        started[connection] = time.monotonic()

    def end(connection: Any) -> None:
        begun = started.pop(connection, None)
        if begun is not None:
            with file.open("a") as lines:
                lines.write(f"{time.monotonic() - begun:.4f}\n")

    event.listen(Engine, "begin", begin)
    event.listen(Engine, "commit", end)
    event.listen(Engine, "rollback", end)
