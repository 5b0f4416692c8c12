"""A token that only submits learns nothing of the searches of others (A3): neither ids nor names, on any route."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from search.store import searches, tables, transitions, workers
from search.store.database import now
from search.vocabulary.states import Status
from tests.abuse.target import Target
from tests.abuse.test_access_table import TABLE, For, path_of
from tests.search.stored import submit

MISSING = "0123456789"
OF_OTHERS = ("name-of-ada", "note-of-ada", "tag-of-ada", "reason-of-ada", "host-of-ada")


@dataclass(frozen=True)
class Hers:
    """A search of eve's, and words that belong to the searches of others."""

    id: str
    child: str  #: of her search, but another's
    running: str  #: another's, on a worker
    of_others: tuple[str, ...]


@pytest.fixture
def hers(target: Target) -> Iterator[Hers]:
    """A search of eve's with a child of another's, while workers run searches of others."""
    url = target.settings.database_url
    hers = submit(url, owner="eve", name="hers")
    with target.engine.begin() as connection:
        found = searches.get(connection, hers)
        child = searches.submit(connection, found.spec, found.plan, {}, "ada", parent=hers)
        searches.describe(connection, target.queued, name="name-of-ada", note="note-of-ada", tags=["tag-of-ada"])
        running = searches.submit(connection, found.spec, found.plan, {}, "ada")
        searches.describe(connection, running, name="name-of-ada")
        connection.execute(
            tables.searches.update()
            .where(tables.searches.c.id == running)
            .values(
                status=Status.RUNNING,
                reason="reason-of-ada",
                lease_until=now() + 60,
                cluster=[{"id": "n", "host": "host-of-ada", "alive": True, "cpus": 1.0, "gpus": 0.0}],
            )
        )
        busy = workers.register(connection)
        workers.heartbeat(connection, busy, running)
    yield Hers(hers, child, running, (*OF_OTHERS, target.done, target.queued, child, running))
    with target.engine.begin() as connection:
        workers.unregister(connection, busy)
        for ended in (hers, child, running):
            transitions.set_status(connection, ended, Status.CANCELLED, "a test")


def answers(target: Target, id: str) -> Iterator[tuple[str, Any]]:
    """Ask every route that reads as eve, for one search."""
    for route, audience in TABLE.items():
        method, _, path = route.partition(" ")
        if method == "GET" and audience is not For.ADMINS:
            asked = path_of(target, path, method).replace(target.done, id)
            yield asked, target.ask("stranger", method, asked, headers={"Accept": "text/html, */*"})


def test_nothing_that_a_stranger_reads_names_a_search_of_others(target: Target, hers: Hers) -> None:
    seen = 0
    for path, answer in answers(target, hers.id):
        told = answer.text + str(answer.headers)
        assert not [word for word in hers.of_others if word in told], path
        seen += answer.status == 200
    assert seen > 20, "most of what she asks for is hers"


def test_who_reads_everything_is_told(target: Target, hers: Hers) -> None:
    """Or the test above would find nothing because there is nothing."""
    told = "".join(
        target.ask("reader", "GET", path).text
        for path in ("/api/cluster", "/api/searches", f"/api/searches/{hers.id}", f"/api/searches/{hers.id}/events")
    )
    expected = (hers.child, hers.running, "name-of-ada", "reason-of-ada", "host-of-ada")
    assert [word for word in expected if word not in told] == []


def test_a_search_of_others_is_as_one_that_is_not_there(target: Target) -> None:
    """The same status, headers and words for a search that she may not see and for one that nobody has."""
    varying = ("content-length",)
    for route, audience in TABLE.items():
        method, _, path = route.partition(" ")
        if audience not in (For.WHO_SEES, For.WHO_STEERS, For.WHO_SUBMITS_AND_SEES):
            continue
        for accept in ("application/json", "text/html"):
            both = []
            there = path_of(target, path, method)
            for asked in (there, re.sub(f"{target.done}|{target.queued}", MISSING, there)):
                body = {} if method in ("POST", "PATCH") else None
                answer = target.ask("stranger", method, asked, {"Accept": accept}, json=body)
                text = re.sub(f"{target.done}|{target.queued}", MISSING, answer.text)
                headers = {name: value for name, value in answer.headers.items() if name not in varying}
                both.append((answer.status, text, headers))
            assert both[0] == both[1], route
            assert both[0][0] == 404, route


def test_a_copy_of_anothers_search_is_refused_as_one_of_none(target: Target) -> None:
    for id in (target.done, MISSING):
        answer = target.ask("stranger", "GET", f"/new?from={id}")
        assert (answer.status, answer.json()["detail"]) == (
            404,
            f"no search has the id {id!r}. List them with: GET /api/searches",
        )


def test_a_filter_by_owner_or_name_finds_nothing_of_others(target: Target, hers: Hers) -> None:
    for query in ("owner=ada", "name=name-of-ada", "tag=tag-of-ada", "status=running", "archived=true", "sort=name"):
        rows = target.ask("stranger", "GET", f"/api/searches?{query}&limit=500").json()["searches"]
        assert {row["owner"] for row in rows} <= {"eve"}, query


def test_a_repeated_key_answers_its_owner_alone(target: Target) -> None:
    body, key = {"recipe": "planted", "gm": [1], "gc": [1], "seeds": 1}, {"Idempotency-Key": "a-key-of-two"}
    first = target.ask("owner", "POST", "/api/searches", json=body, headers=key).json()["search"]
    second = target.ask("stranger", "POST", "/api/searches", json=body, headers=key)
    assert second.status == 201
    assert second.json()["search"] != first
    assert target.ask("owner", "POST", "/api/searches", json=body, headers=key).json()["search"] == first
    for who, search in (("owner", first), ("stranger", second.json()["search"])):
        assert target.ask(who, "POST", f"/api/searches/{search}/cancel").status == 200


def test_an_answer_that_is_kept_for_others_is_not_given_to_a_stranger(target: Target, hers: Hers) -> None:
    """Neither from the cache of answers nor by an entity tag."""
    path = f"/api/searches/{target.done}"
    tag = target.ask("owner", "GET", path).headers["ETag"]
    assert target.ask("owner", "GET", path, headers={"If-None-Match": tag}).status == 304
    assert target.ask("stranger", "GET", path, headers={"If-None-Match": tag}).status == 404
    everybody, own = (target.ask(who, "GET", f"/api/searches/{hers.id}").json() for who in ("reader", "stranger"))
    assert (len(everybody["children"]), own["children"]) == (1, [])
    assert target.ask("stranger", "GET", f"/api/searches/{hers.id}").json()["children"] == []
    assert target.ask("reader", "GET", f"/api/searches/{hers.id}").json()["children"] == everybody["children"]
