"""What runs where, and why the waiting wait."""

from __future__ import annotations

from search.store import transitions, workers
from search.vocabulary.states import Status
from tests.search.stored import open_recorder, submit
from tests.service.conftest import Site


def test_the_cluster_shows_who_works_what_runs_and_what_waits(site: Site) -> None:
    running = submit(site.database, name="runs now")
    recorder = open_recorder(site.database, running)
    with site.engine.begin() as connection:
        worker = workers.register(connection)
    shown = site.client("read").get("/api/cluster").raise_for_status().json()
    assert worker in [each["id"] for each in shown["workers"]]
    assert "runs now" in [each["name"] for each in shown["running"]]
    waiting = {each["name"]: each["why"] for each in shown["waiting"]}
    assert waiting["waiting"], "a reason"
    assert "runs now" not in waiting
    eve = site.client("submit", owner="eve-of-the-cluster").get("/api/cluster").raise_for_status().json()
    assert (eve["running"], eve["waiting"]) == ([], []), "those of others are not hers to see"
    recorder.close()
    with site.engine.begin() as connection:
        workers.unregister(connection, worker)
        transitions.set_status(connection, running, Status.CANCELLED, "a test")
