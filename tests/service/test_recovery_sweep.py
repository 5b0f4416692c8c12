"""The service recovers what drivers left, without a worker beside it."""

from __future__ import annotations

import time
from dataclasses import replace

from fastapi.testclient import TestClient

from search.settings import Settings
from search.store import searches
from search.store.database import open_engine
from service.app import create_app
from tests.search.store.test_recovery import left_running, look


def test_a_service_ends_trials_that_nobody_runs_at_its_start_and_once_a_lease_length(settings: Settings) -> None:
    settings = replace(settings, lease_seconds=0.3, renew_seconds=0.1)
    first = left_running(settings.database_url, lease_seconds=-1)
    second = left_running(settings.database_url, lease_seconds=2)
    engine = open_engine(settings.database_url)
    lost = ("queued", "its driver was lost", [("FAIL", "lost")])
    with TestClient(create_app(settings)):
        deadline = time.monotonic() + 20
        while [look(engine, each) for each in (first, second)] != [lost, lost]:
            assert time.monotonic() < deadline, look(engine, second)
            time.sleep(0.05)
    with engine.connect() as connection:
        assert searches.get(connection, second).epoch == 2
