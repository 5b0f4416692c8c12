"""Opening a store finds it up to date, and changes nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.settings import Settings
from search.store import searches
from search.store.opening import open_store
from search.store.schema import is_current
from search.vocabulary.errors import StoreUnavailable
from tests.search.store.test_recovery import left_running


def test_a_store_is_created_only_when_that_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "home" / "test.db"
    with pytest.raises(StoreUnavailable, match=rf"the database must exist: got {file}\. Name it with"):
        open_store(f"sqlite:///{file}")
    assert not file.parent.exists()
    assert is_current(open_store(f"sqlite:///{file}", create=True))


def test_opening_recovers_nothing(settings: Settings) -> None:
    search_id = left_running(settings.database_url, lease_seconds=-1)
    with open_store(settings.database_url).connect() as connection:
        assert searches.get(connection, search_id).status == "running"
