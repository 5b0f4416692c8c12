"""A service under load: crowds, a steady stream of requests, many event streams, and clients that stall."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import socket
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

import httpx2

from search.settings import Settings
from search.store import queries
from search.store.database import open_engine
from service import accounts
from tests.benchmarks.http_load import Answers, beside, build_request, crowd, open_loop
from tests.benchmarks.plan_cost import measure_plan_cost
from tests.benchmarks.scale import ROUTES
from tests.benchmarks.seeding import seed_store
from tests.benchmarks.service import SPEC, Running, running
from tests.postgres import serving_postgres
from tests.service.conftest import free_port

TRIALS, OTHERS = 100_000, 1_000
FEW, MANY = 8, 200  # clients
CROWD_SECONDS = 3.0
OPEN_LOOP_SECONDS, PER_SECOND, READS = 300.0, 50.0, 0.8
STREAMS, STREAM_TOKENS = 500, 10
STALLED, UNFINISHED = 15, 1_000
MORE_ROUTES = (
    "/api/recipes",
    "/api/recipes/digits-mlp",
    "/api/data",
    "/api/tokens",
    "/api/audit",
    "/api/searches/ID/trials/grid/77/log",
    "/api/compare?id=ID",
    "/api/compare/candidates?id=ID",
    "/api/openapi.json",
    "/metrics",
    "/searches/ID/trials/grid/77",
    "/searches/ID/candidates/grid",
    "/compare?id=ID",
    "/cluster",
    "/new",
    "/tokens",
    "/docs",
    "/viewer/swagger-ui-bundle.js",
    "/nowhere",
)
PUBLIC = ("/healthz", "/readyz", "/login", "/static/style.css", "/plotly.js")
WANTED = {"/readyz, no token": (503,), "/nowhere": (404,)}  # statuses; 503: no worker runs
PAGES = ("/", "/searches/ID", "/api/searches", "/api/searches/ID")
PLAN = {"recipe": "digits-mlp", "gm": [1, 2, 4, 8], "gc": [1, 2, 4]}


@dataclass(frozen=True)
class Target:
    """A running service with a store of a size that teams have."""

    service: Running
    port: int
    search: str
    settings: Settings

    def get(self, path: str, headers: dict[str, str] | None = None) -> bytes:
        """Build a GET of a path, by default with a token."""
        headers = self.service.headers if headers is None else headers
        return build_request("GET", path.replace("ID", self.search), headers)

    def post(self, path: str, body: object, **headers: str) -> bytes:
        """Build a POST with a token."""
        return build_request("POST", path, self.service.headers | headers, json.dumps(body).encode())

    def newest_event(self) -> int:
        """Return the id of the newest event of the search."""
        engine = open_engine(self.settings.database_url, read_only=True)
        with engine.connect() as connection:
            event, _ = queries.read_version(connection, self.search)
        engine.dispose()
        return event

    def token(self, owner: str) -> dict[str, str]:
        """Create a token that reads; return the header with it."""
        engine = open_engine(self.settings.database_url)
        with engine.begin() as connection:
            _, text = accounts.create_token(connection, name=owner, owner=owner, scopes=["read"], lifetime=None)
        engine.dispose()
        return {"Authorization": f"Bearer {text}"}


def main() -> None:
    """Print the figures on each kind of database."""
    with serving_postgres() as server:
        for database, db in (("SQLite", ""), ("PostgreSQL", f"{server}")):
            print(f"### {database}\n", flush=True)
            with tempfile.TemporaryDirectory() as home:
                settings = Settings(
                    home=Path(home),
                    db=db,
                    port=free_port(),
                    worker=0,
                    requests_per_minute=0,
                    waiting_searches=0,
                    waiting_trials=0,
                )
                search = seed_store(settings.database_url, TRIALS, OTHERS)
                with running(settings) as service:
                    asyncio.run(_measure(Target(service, settings.port, search, settings)))


async def _measure(target: Target) -> None:
    await _crowds(target)
    print("| figure | measured | must reach |\n|---|--:|--:|")
    _print_row("costliest accepted body of a plan, CPU", f"{max(measure_plan_cost().values()):.3f} s", "≤ 0.2 s")
    for measure in (_stalls, _unfinished, _streams, _open_loop):
        await measure(target)


async def _crowds(target: Target) -> None:
    """Send a crowd to each route, with a token and without."""
    print(f"{MANY} clients against {FEW}, each asking again as soon as it is answered, {CROWD_SECONDS:g} s a route.\n")
    print("| route | a second | over few clients | p99 | refused | errors | /healthz beside, p99 |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    routes = [(route, target.get(route)) for route in (*ROUTES, *MORE_ROUTES)]
    routes += [(f"{route}, no token", target.get(route, {})) for route in PUBLIC]
    routes += [("POST /api/searches/plan", target.post("/api/searches/plan", PLAN))]
    worst = Answers()
    for name, request in routes:
        await crowd(target.port, request, FEW, 0.5)
        wanted = WANTED.get(name, range(200, 400))
        few = await crowd(target.port, request, FEW, CROWD_SECONDS, wanted)
        async with beside(target.port, target.get("/healthz", {})) as health:
            many = await crowd(target.port, request, MANY, CROWD_SECONDS, wanted)
        print(
            f"| `{name}` | {many.rate:.0f} | {many.rate / few.rate:.2f} | {many.percentile(0.99):.2f} s "
            f"| {many.refused} | {many.errors} | {health.percentile(0.99) * 1000:.0f} ms |",
            flush=True,
        )
        worst.seconds += health.seconds
    for name, headers in (("no token", {}), ("a wrong token", {"Authorization": "Bearer seqnorm_0_0"})):
        refused = await crowd(target.port, target.get("/api/searches", headers), MANY, CROWD_SECONDS)
        print(f"| `/api/searches`, {name} | {dict(refused.statuses)} | – | – | – | {refused.errors} | – |")
    print(f"\nMust reach: over few clients ≥ 0.80, p99 ≤ 2 s, errors 0, /healthz {_ms(worst)} ≤ 200 ms\n", flush=True)


async def _stalls(target: Target) -> None:
    """Let downloads of a large export stall, and look whether anybody notices."""
    path = f"/api/searches/{target.search}/export?format=json"
    alone = await crowd(target.port, target.get(path), 1, 0.1)
    stalled = [_stall(target.port, target.get(path)) for _ in range(STALLED)]
    while target.service.process.cpu_percent(1.0) > 20:  # until the buffers of the system are full
        pass
    async with beside(target.port, target.get("/healthz", {})) as health:
        other = await crowd(target.port, target.get(path), 1, 0.1)
    for client in stalled:
        client.close()
    _print_row(f"{STALLED} stalled downloads: /healthz beside", _ms(health), "≤ 200 ms")
    _print_row("the same: another export, over one with none stalled", _ratio(other, alone, 1), "unaffected")


def _stall(port: int, request: bytes) -> socket.socket:
    """Ask for something and take none of it."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    client.sendall(request)
    return client


async def _unfinished(target: Target) -> None:
    """Open connections whose headers are never finished."""
    clients = []
    for _ in range(UNFINISHED):
        client = socket.create_connection(("127.0.0.1", target.port))
        client.sendall(b"GET / HTTP/1.1\r\nHost: ")
        clients.append(client)
        await asyncio.sleep(0)
    answers = await crowd(target.port, target.get("/api/searches"), FEW, CROWD_SECONDS)
    async with beside(target.port, target.get("/healthz", {})) as health:
        await asyncio.sleep(2)
    for client in clients:
        client.close()
    refused = answers.errors + answers.refused
    _print_row(f"{UNFINISHED} unfinished requests: errors and refusals of others", str(refused), "0")
    _print_row("the same: /healthz beside", _ms(health), "≤ 200 ms")


async def _streams(target: Target) -> None:
    """Follow a search with as many streams as a service serves, then leave at once."""

    async def visit() -> Answers:
        visits = [await crowd(target.port, target.get(page), 1, 2.0) for page in PAGES]
        return Answers(seconds=[seconds for each in visits for seconds in each.seconds])

    await visit()
    before, at_rest = await visit(), _held(target)
    tokens = [target.token(f"reader-{number}") for number in range(STREAM_TOKENS)]
    newest, opened = target.newest_event(), []  # a page follows from where it was when it was sent
    for number in range(STREAMS):
        request = target.get(f"/api/searches/ID/events?after={newest}", tokens[number % STREAM_TOKENS])
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in head, head
        opened.append((reader, writer))
    reading = [asyncio.create_task(_drain(reader)) for reader, _ in opened]
    meanwhile, held = await visit(), _held(target)
    for _, writer in opened:
        writer.close()
    await asyncio.gather(*reading, return_exceptions=True)
    await asyncio.sleep(3)
    after, afterwards = await visit(), _held(target)
    streams = f"{STREAMS} streams from {STREAM_TOKENS} tokens"
    _print_row(f"{streams}: p95 of pages over before", _ratio(meanwhile, before, 0.95), "≤ 2")
    _print_row("the same, once they have left", _ratio(after, before, 0.95), "1")
    _print_row("memory, threads, sockets: before, during, after", f"{at_rest}; {held}; {afterwards}", "as before")


async def _drain(reader: asyncio.StreamReader) -> None:
    while await reader.read(65536):
        pass


def _held(target: Target) -> str:
    process = target.service.process
    return f"{process.memory_info().rss / 1e6:.0f} MB, {process.num_threads()}, {len(process.net_connections())}"


async def _open_loop(target: Target) -> None:
    """Ask at a fixed rate, mostly to read; every submission must be there once afterwards."""
    keys, reads = list[str](), itertools.cycle([target.get(route) for route in ROUTES])
    seed = random.Random(0)

    def next_request() -> bytes:
        if seed.random() < READS:
            return next(reads)
        keys.append(str(uuid.UUID(int=seed.getrandbits(128))))
        body = SPEC | {"name": keys[-1]}
        return target.post("/api/searches", body, **{"Idempotency-Key": keys[-1]})

    answers = await open_loop(target.port, next_request, PER_SECOND, OPEN_LOOP_SECONDS)
    stored = _stored_names(target.service)
    accepted = answers.statuses[201]
    lost, doubled = accepted - len(set(stored)), len(stored) - len(set(stored))
    what = f"{PER_SECOND:g} requests a second for {OPEN_LOOP_SECONDS:g} s, {READS:.0%} reads"
    _print_row(what, _ms(answers), "≤ 500 ms")
    statuses = ", ".join(f"{status}: {count}" for status, count in sorted(answers.statuses.items()))
    _print_row("the same: answers by status, 0 for a broken connection", statuses, "no 0, no 5xx but 503")
    _print_row(f"the same: {accepted} submissions accepted; lost, doubled", f"{lost}, {doubled}", "0, 0")
    print(flush=True)


def _stored_names(service: Running) -> list[str]:
    names, cursor = list[str](), ""
    with httpx2.Client(base_url=service.url, headers=service.headers, timeout=60) as client:
        while cursor is not None:
            page = client.get(f"/api/searches?limit=500&status=queued&cursor={cursor}").json()
            names += [each["name"] for each in page["searches"]]
            cursor = page["next"]
    return names


def _print_row(figure: str, measured: str, limit: str) -> None:
    print(f"| {figure} | {measured} | {limit} |", flush=True)


def _ratio(answers: Answers, to: Answers, share: float) -> str:
    return f"{answers.percentile(share) / to.percentile(share):.2f}"


def _ms(answers: Answers) -> str:
    return f"p99 {answers.percentile(0.99) * 1000:.0f} ms"
