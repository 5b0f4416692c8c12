"""Databases that older versions of the program made, as SQL, and what those versions showed of them.

``python -m tests.databases`` makes those of this version; the README beside this file says more.
"""

from __future__ import annotations

import gzip
import json
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

FOLDER = Path(__file__).parent


def restore(version: str, url: str) -> dict[str, Any]:
    """Fill an empty database with what a version made; return what that version showed, by the searches' names."""
    parsed = make_url(url)
    kind = parsed.get_backend_name()
    sql = gzip.decompress((FOLDER / version / f"{kind}.sql.gz").read_bytes()).decode()
    if kind == "sqlite":
        assert parsed.database
        connection = sqlite3.connect(parsed.database)
        connection.executescript(sql)
        connection.close()
    else:
        import psycopg

        with psycopg.connect(url) as server:
            server.execute(sql.encode())
    shown: dict[str, Any] = json.loads((FOLDER / version / "shown.json").read_text())[kind]
    return shown
