"""Whether the service lives, and whether it can do its work."""

from __future__ import annotations

from search.store import workers
from tests.service.conftest import Site


def test_readiness_tells_of_database_schema_worker_and_ray(site: Site) -> None:
    parts = site.api.get("/readyz")
    assert parts.status_code == 503
    assert parts.json()["worker"] == "none: start one with seqnorm worker"
    with site.engine.begin() as connection:
        worker = workers.register(connection)
    ready = site.api.get("/readyz")
    assert ready.status_code == 200
    assert (ready.json()["worker"], ready.json()["ray"]) == ("ok: 1", "ok: a matter of the workers")
    why = {row["search"]: row["why"] for row in site.api.get("/api/cluster").json()["waiting"]}
    assert "no worker" not in why[site.queued]
    with site.engine.begin() as connection:
        workers.unregister(connection, worker)
