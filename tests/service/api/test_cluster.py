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


def test_who_reads_only_their_own_is_not_told_what_a_worker_runs_for_others(site: Site) -> None:
    hers = submit(site.database, name="hers", owner="eve-of-the-workers")
    with site.engine.begin() as connection:
        busy, own, idle = (workers.register(connection) for _ in range(3))
        workers.heartbeat(connection, busy, site.queued)
        workers.heartbeat(connection, own, hers)
    eve = site.client("submit", owner="eve-of-the-workers")
    ours = (busy, own, idle)
    for client, seen in ((site.client("read"), [site.queued, hers, None]), (eve, [None, hers, None])):
        answer = client.get("/api/cluster").raise_for_status()
        shown = {each["id"]: each for each in answer.json()["workers"]}
        assert [shown[each]["search"] for each in ours] == seen
        assert [shown[each]["busy"] for each in ours] == [True, True, False], "how busy a worker is, all may know"
    assert site.queued not in eve.get("/api/cluster").text
    page = eve.get("/cluster", headers={"Accept": "text/html"}).raise_for_status().text
    assert site.queued not in page
    assert "<td>busy</td>" in page
    with site.engine.begin() as connection:
        for each in ours:
            workers.unregister(connection, each)
        transitions.set_status(connection, hers, Status.CANCELLED, "a test")
