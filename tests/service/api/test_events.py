"""Streams of what happens to a search: every committed event once, in order."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from search.settings import Settings
from search.store import queries, searches
from search.store.database import Engine, open_engine
from search.store.events import add_event
from search.views import EventView
from search.vocabulary.states import EventKind
from tests.search.stored import submit
from tests.service.conftest import Site, free_port, serving


@contextmanager
def following(
    api: httpx2.Client, search_id: str, after: str = "", **headers: str
) -> Iterator[Iterator[dict[str, Any]]]:
    """Follow a search; yield its events as they come."""
    with api.stream("GET", f"/api/searches/{search_id}/events{after}", headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        yield events_of(answer.iter_lines())


def events_of(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if line.startswith("data:"):
            yield json.loads(line.removeprefix("data:"))


def take(events: Iterator[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    return [next(events) for _ in range(count)]


def happened(engine: Engine, search_id: str) -> list[EventView]:
    with engine.connect() as connection:
        return queries.list_events(connection, search_id, limit=100_000)


def test_a_stream_starts_with_what_happened_and_goes_on_with_what_happens(site: Site) -> None:
    search_id = submit(site.database)
    with following(site.api, search_id) as events:
        assert [event["kind"] for event in take(events, 1)] == ["submitted"]
        site.api.post(f"/api/searches/{search_id}/pause")
        (paused,) = take(events, 1)
        assert (paused["kind"], paused["status"], paused["reason"]) == ("status", "paused", "paused by a person")
    assert paused["id"] == happened(site.engine, search_id)[-1].id


def test_a_stream_goes_on_after_the_last_event_that_a_client_has(site: Site) -> None:
    search_id = submit(site.database)
    for name in ("one", "two", "three"):
        site.api.patch(f"/api/searches/{search_id}", json={"name": name})
    ids = [event.id for event in happened(site.engine, search_id)]
    with following(site.api, search_id, f"?after={ids[1]}") as events:
        assert [event["id"] for event in take(events, 2)] == ids[2:]
    with following(site.api, search_id, f"?after={ids[0]}", **{"Last-Event-ID": str(ids[2])}) as events:
        assert [event["id"] for event in take(events, 1)] == ids[3:]


def test_a_stream_of_nothing_is_refused_before_it_starts(site: Site) -> None:
    assert site.api.get("/api/searches/nowhere/events").status_code == 404
    assert site.api.get(f"/api/searches/{site.done}/events", headers={"Last-Event-ID": "x"}).status_code == 422


def test_no_event_is_missed_or_repeated_across_reconnects(database_url: str, tmp_path: Path) -> None:
    """Several writers commit as fast as they can, while a client reads a little and comes back again and again."""
    settings = Settings(home=tmp_path, db=database_url, port=free_port(), worker=0)
    search_id = submit(database_url)
    engine = open_engine(database_url)
    each, writers = 40, 3

    def write(writer: int) -> None:
        for number in range(each):
            with engine.begin() as connection:
                if number % 3 == 0:
                    searches.describe(connection, search_id, name=f"{writer} {number}")
                else:
                    add_event(connection, search_id, EventKind.SLOTS, {"slots": number})
                time.sleep(0.02 * writer)  # what is written first is not committed first

    total, seen = 1 + each * writers, list[int]()
    with serving(settings):
        token = settings.token_file.read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        with (
            httpx2.Client(base_url=f"http://127.0.0.1:{settings.port}", headers=headers, timeout=20) as api,
            ThreadPoolExecutor(writers) as pool,
        ):
            writing = [pool.submit(write, writer) for writer in range(writers)]
            while len(seen) < total:
                last = {"Last-Event-ID": str(seen[-1])} if seen else {}
                with following(api, search_id, **last) as events:
                    seen += [event["id"] for event in take(events, min(3, total - len(seen)))]
            for done in writing:
                done.result()
    assert seen == [event.id for event in happened(engine, search_id)]


def test_a_stream_ends_with_its_token(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, port=free_port(), worker=0)
    search_id = submit(settings.database_url)
    code = "import service.api.events as e; e.RECHECK_SECONDS = 0.2; from service.__main__ import main; main()"
    with serving(settings, code):
        headers = {"Authorization": f"Bearer {settings.token_file.read_text().strip()}"}
        with httpx2.Client(base_url=f"http://127.0.0.1:{settings.port}", headers=headers, timeout=20) as api:
            (token,) = api.get("/api/tokens").json()
            with following(api, search_id) as events:
                take(events, 1)
                api.delete(f"/api/tokens/{token['id']}")
                assert list(events) == []


def test_open_streams_hold_no_connection_and_do_not_keep_the_service_from_ending(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, port=free_port(), worker=0)
    search_id = submit(settings.database_url)
    with serving(settings) as printed:
        headers = {"Authorization": f"Bearer {settings.token_file.read_text().strip()}"}
        url = f"http://127.0.0.1:{settings.port}/api/searches/{search_id}"
        opened = threading.Barrier(31)
        ended: list[str] = []

        def follow() -> None:
            with httpx2.stream("GET", f"{url}/events", headers=headers, timeout=60) as answer:
                lines = answer.iter_lines()
                next(events_of(lines))
                opened.wait()
                ended.append("".join(lines))

        threads = [threading.Thread(target=follow) for _ in range(30)]
        for thread in threads:
            thread.start()
        opened.wait()
        for _ in range(20):  # more than the pool has, were each stream to hold one
            assert httpx2.get(url, headers=headers).status_code == 200
        before = time.monotonic()
    for thread in threads:
        thread.join()
    assert len(ended) == 30
    assert time.monotonic() - before < 20
    assert "Traceback" not in printed.read_text()
    assert "Cancel" not in printed.read_text()
