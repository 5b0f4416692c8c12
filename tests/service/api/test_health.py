"""Whether the service lives, and whether it can do its work."""

from __future__ import annotations

import asyncio
import time

from sqlalchemy import event

from search.settings import Settings
from search.store import workers
from search.views import ReadinessView
from service.api.health import ReadinessCheck
from service.database import Database
from tests.search.stored import prepare
from tests.service.conftest import Site
from tests.service.loops import run


def test_readiness_tells_of_database_schema_worker_and_ray(site: Site) -> None:
    parts = site.api.get("/readyz")
    assert parts.status_code == 503
    assert parts.json()["worker"] == "none: start one with seqnorm worker"
    with site.engine.begin() as connection:
        worker = workers.register(connection)
    while (ready := site.api.get("/readyz")).status_code == 503:  # it is looked at once a second
        time.sleep(0.1)
    assert ready.status_code == 200
    assert (ready.json()["worker"], ready.json()["ray"]) == ("ok: 1", "ok: a matter of the workers")
    why = {row["search"]: row["why"] for row in site.api.get("/api/cluster").json()["waiting"]}
    assert "no worker" not in why[site.queued]
    with site.engine.begin() as connection:
        workers.unregister(connection, worker)


def test_readiness_is_checked_once_however_many_ask(settings: Settings) -> None:
    prepare(settings.database_url)
    database = Database(settings)
    check, looked = ReadinessCheck(database, settings), list[object]()
    event.listen(database.read_engine, "checkout", lambda *_: looked.append(None))

    async def ask() -> list[ReadinessView]:
        return await asyncio.gather(*(check.read() for _ in range(50)))

    answers = run(ask())
    assert {answer.database for answer in answers} == {"ok"}
    assert 1 <= len(looked) <= 2  # a query for workers, one for the schema
