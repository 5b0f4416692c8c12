"""Pages and routes at 1,000 and at 100,000 trials, with 1,000 searches beside them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx2
import psycopg
from sqlalchemy import make_url

from search.settings import Settings
from search.store.database import Engine, open_engine
from search.store.events import add_event
from search.vocabulary.states import EventKind
from tests.benchmarks.seeding import seed_store
from tests.benchmarks.service import Running, running
from tests.postgres import serving_postgres
from tests.service.conftest import free_port

SIZES = (1_000, 100_000)  # trials of the large search
OTHERS = 1_000  # searches beside it
REPEATS = 60
REQUESTS = 10_000  # over which memory is watched
ROUTES = (
    "/api/searches",
    "/api/searches?tag=team-3",
    "/api/cluster",
    "/api/searches/ID",
    "/api/searches/ID/candidates",
    "/api/searches/ID/trials",
    "/api/searches/ID/trials?sort=-value",
    "/api/searches/ID/trials?gm=2&gc=2",
    "/api/searches/ID/trials/grid/77",
    "/api/searches/ID/trials/grid/77/figure",
    "/api/searches/ID/figures/grid",
    "/api/searches/ID/figures/grid/heatmap/v000",
    "/api/searches/ID/figures/grid/curves",
    "/api/searches/ID/figures/test",
    "/api/searches/ID/timeline",
    "/api/searches/ID/parallel",
    "/",
    "/searches/ID",
)


@dataclass(frozen=True, kw_only=True)
class Times:
    """The 95th percentile of a route's times in ms, and how much it sends in kB."""

    kept: float  #: nothing has happened to the search since it was asked for last
    anew: float  #: something has, each time
    sent: float


def main() -> None:
    """Print how long each route takes at each size, how much it sends, and what the process grows by."""
    with serving_postgres() as server:
        for database, url in (("SQLite", ""), ("PostgreSQL", server)):
            print(f"### {database}\n", flush=True)
            _compare(url)


def _compare(url: str) -> None:
    """Measure at each size, on SQLite where no server is named."""
    found: dict[str, list[Times]] = {}
    for trials in SIZES:
        with tempfile.TemporaryDirectory() as home, _database(url) as db:
            settings = Settings(home=Path(home), db=db, port=free_port(), worker=0, requests_per_minute=0)
            large = seed_store(settings.database_url, trials, OTHERS)
            engine = open_engine(settings.database_url)
            with running(settings) as service:
                _ask(service, [f"/api/searches/{large}/figures/test"], 1)  # what a process imports at its first figure
                for route in ROUTES:
                    path = route.replace("ID", large)
                    found.setdefault(route, []).append(_measure(service, path, partial(_happen, engine, large)))
                memory = _grown(service, [route.replace("ID", large) for route in ROUTES])
            engine.dispose()
    _print(found)
    print(f"\nResident memory of the web process at {SIZES[-1]:,} trials: {memory}; must reach ≤ 250 MB, flat.\n")


@contextmanager
def _database(server: str) -> Iterator[str]:
    """Make a database for a while, if a server is named."""
    if not server:
        yield ""
        return
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("CREATE DATABASE scale")
        yield make_url(server).set(database="scale").render_as_string(hide_password=False)
        connection.execute("DROP DATABASE scale WITH (FORCE)")


def _print(found: dict[str, list[Times]]) -> None:
    small, many = (f"{size:,}" for size in SIZES)
    print("p95 in ms. Kept: the search is as at the request before. Anew: something has happened to it each time.\n")
    print(f"| route | kept, {small} trials | kept, {many} | ratio | anew, {small} | anew, {many} | compressed, kB |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for route, (few, lots) in found.items():
        numbers = (few.kept, lots.kept, lots.kept / few.kept, few.anew, lots.anew, lots.sent)
        print(f"| `{route}` | {numbers[0]:.1f} | {numbers[1]:.1f} | {numbers[2]:.2f} ", end="")
        print(f"| {numbers[3]:.0f} | {numbers[4]:.0f} | {numbers[5]:.1f} |")
    lots = [times for _, times in found.values()]
    worst = max(times[1].kept / times[0].kept for times in found.values())
    print("\n| the worst of them | measured | must reach |\n|---|--:|--:|")
    print(f"| p95 at {many} trials, kept | {max(each.kept for each in lots):.1f} ms | ≤ 100 ms |")
    print(f"| p95 at {many} trials, anew | {max(each.anew for each in lots):.0f} ms | ≤ 100 ms |")
    print(f"| sent, compressed | {max(each.sent for each in lots):.0f} kB | ≤ 200 kB |")
    print(f"| p95 at {many} over {small} trials, kept | {worst:.2f} | ≤ 2 |")


def _happen(engine: Engine, search_id: str) -> None:
    with engine.begin() as connection:
        add_event(connection, search_id, EventKind.DESCRIBED, {})


def _measure(service: Running, path: str, happen: Callable[[], None]) -> Times:
    headers = service.headers | {"Accept": "*/*" if path.startswith("/api") else "text/html", "Accept-Encoding": "gzip"}
    with httpx2.Client(base_url=service.url, headers=headers, timeout=120) as client:
        _time(client, path)
        kept = [_time(client, path) for _ in range(REPEATS)]
        anew = []
        for _ in range(REPEATS):
            happen()
            anew.append(_time(client, path))
    return Times(kept=_p95(kept), anew=_p95(anew), sent=kept[0][1] / 1000)


def _time(client: httpx2.Client, path: str) -> tuple[float, int]:
    """Ask for something; return the seconds it took, and the bytes."""
    before = time.perf_counter()
    with client.stream("GET", path) as answer:
        sent = sum(len(piece) for piece in answer.iter_raw())
    answer.raise_for_status()
    return time.perf_counter() - before, sent


def _p95(times: list[tuple[float, int]]) -> float:
    return sorted(seconds for seconds, _ in times)[int(0.95 * (len(times) - 1) + 0.5)] * 1000


def _grown(service: Running, paths: list[str]) -> str:
    """Make very many requests; say what the process held at the start, after a tenth of them, and at the end."""
    held = [service.megabytes]
    for requests in (REQUESTS // 10, REQUESTS - REQUESTS // 10):
        _ask(service, paths, requests)
        held.append(service.megabytes)
    return f"{held[0]:.0f} MB, {held[1]:.0f} after {REQUESTS // 10:,} more requests, {held[2]:.0f} after {REQUESTS:,}"


def _ask(service: Running, paths: list[str], requests: int) -> None:
    with httpx2.Client(base_url=service.url, headers=service.headers | {"Accept": "*/*"}, timeout=120) as client:
        for number in range(requests):
            client.get(paths[number % len(paths)]).raise_for_status()
