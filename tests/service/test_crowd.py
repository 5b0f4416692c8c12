"""More requests at once than a service has places, threads or connections: each is answered, or refused for now."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx2
import pytest
from starlette.types import Message

from search.settings import Settings
from search.store.database import open_engine
from service import accounts, admission
from service.app import create_app
from tests.search.stored import finished_search
from tests.service.conftest import Site
from tests.service.loops import run

CROWD = 100  # more than there are threads (40) and connections


@pytest.mark.parametrize(
    "path",
    ["/healthz", "/readyz", "/login", "/", "/api/searches", "/api/searches/{done}", "/api/searches/{done}/figures/gm"],
)
def test_a_crowd_is_answered_or_refused_for_now_and_leaves_nothing_behind(site: Site, path: str) -> None:
    path = path.format(done=site.done)
    limits, start = httpx2.Limits(max_connections=CROWD), threading.Barrier(CROWD)
    with httpx2.Client(base_url=site.url, headers=site.api.headers, timeout=60, limits=limits) as clients:

        def ask(_: int) -> httpx2.Response:
            start.wait()
            return clients.get(path)

        with ThreadPoolExecutor(CROWD) as pool:
            answers = list(pool.map(ask, range(CROWD)))
    statuses = Counter(answer.status_code for answer in answers)
    unready = path == "/readyz"  # as no worker runs
    assert set(statuses) <= ({503} if unready else {200, 503}), statuses
    assert statuses[503 if unready else 200] > 0
    for refused in answers:
        if refused.status_code == 503:
            assert int(refused.headers["Retry-After"]) > 0
            assert unready or "all places stayed taken" in refused.text, "nobody waited for a connection or a thread"
    for later in ("/healthz", f"/api/searches/{site.done}"):
        assert site.api.get(later).status_code == 200


def test_a_crowd_that_follows_is_bounded_and_leaves_room_for_others_when_it_leaves(site: Site) -> None:
    reader, other = site.client("read"), site.client("read")
    path = f"/api/searches/{site.done}/events"
    with ExitStack() as opened:
        answers = [opened.enter_context(reader.stream("GET", path)) for _ in range(60)]
        assert Counter(answer.status_code for answer in answers) == {200: 50, 503: 10}
        assert answers[-1].headers["Retry-After"]
        assert "a token has at most 50 event streams open" in answers[-1].read().decode()
        with other.stream("GET", path) as answer:
            assert answer.status_code == 200, "another token has its own"
    assert other.get(f"/api/searches/{site.done}").status_code == 200
    for _ in range(100):  # the service sees that a client has left a moment later
        with reader.stream("GET", path) as answer:
            if answer.status_code == 200:
                return
    raise AssertionError("streams that have ended still count")


def test_clients_that_do_not_take_their_answers_hold_no_place_and_no_connection(
    settings: Settings, database_url: str
) -> None:
    settings = Settings(home=settings.home, db=database_url)
    search_id = finished_search(database_url)
    with open_engine(database_url).begin() as connection:
        _, text = accounts.create_token(connection, name="a test", owner="ada", scopes=["read"], lifetime=None)
    app = create_app(settings)
    paths = [f"/api/searches/{search_id}{rest}" for rest in ("", "/export", "/export?format=json", "/figures/gm")]

    async def stall(path: str, stalled: asyncio.Semaphore) -> None:
        async def receive() -> Message:
            await asyncio.sleep(60)
            raise AssertionError

        async def send(message: Message) -> None:
            stalled.release()
            await asyncio.sleep(60)

        bare, _, query = path.partition("?")
        headers = [(b"host", b"127.0.0.1"), (b"authorization", f"Bearer {text}".encode())]
        await app(
            {
                "type": "http", "method": "GET", "path": bare, "raw_path": bare.encode(), "root_path": "",
                "query_string": query.encode(), "headers": headers, "client": ("127.0.0.1", 1), "scheme": "http",
                "server": ("127.0.0.1", 80), "http_version": "1.1", "asgi": {"version": "3.0"}, "state": {},
            },
            receive,
            send,
        )  # fmt: skip

    async def stall_all() -> int:
        stalled = asyncio.Semaphore(0)
        many = 2 * sum(admission.PLACES.values())
        tasks = [asyncio.create_task(stall(path, stalled)) for path in paths * many]
        for _ in tasks:
            await asyncio.wait_for(stalled.acquire(), 30)
        held: int = app.state.database.read_engine.pool.checkedout()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return held

    assert run(stall_all()) == 0
    app.state.database.close()
