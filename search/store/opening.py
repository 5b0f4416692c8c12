"""Opens the database: migrates it and returns an engine."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine

from search.store.database import Url, open_engine, parse_url, require_file
from search.store.schema import upgrade
from search.vocabulary.errors import StoreUnavailable


def open_store(url: Url, *, create: bool = False) -> Engine:
    """Migrate a database and return a writing engine.

    Raises:
        StoreUnavailable: if it cannot be opened, or does not exist and ``create`` is false.
    """
    require_file(url)
    parsed = parse_url(url)
    if not create and parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").exists():
        raise StoreUnavailable(
            f"the database must exist: got {parsed.database}. Name it with --home DIR or --db URL, or start a search."
        )
    upgrade(url)
    return open_engine(url)
