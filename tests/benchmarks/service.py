"""The web service: how soon it answers, how many submissions it takes, how soon a commit is on screen."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2
import psutil
from playwright.sync_api import sync_playwright

from search.plan.sequence import run_sequence
from search.settings import Settings, to_environment
from search.vocabulary.outcome import Outcome
from tests.search.stored import open_recorder, submit
from tests.service.conftest import chromium, free_port

SUBMISSIONS, CLIENTS = 1500, 4
STREAMS, COMMITS = 50, 60
SPEC = {"recipe": "digits-mlp", "gm": [1, 2, 4, 8], "gc": [1, 2, 4], "seeds": 3}


class Running:
    """A service that runs, and how long it took to its first answer."""

    def __init__(self, settings: Settings) -> None:
        self.url = f"http://127.0.0.1:{settings.port}"
        before = time.perf_counter()
        self.process = psutil.Popen(
            [sys.executable, "-m", "service"], env=os.environ | to_environment(settings), stderr=subprocess.DEVNULL
        )
        while True:
            with suppress(httpx2.HTTPError):
                httpx2.get(f"{self.url}/healthz").raise_for_status()
                break
            time.sleep(0.01)
        self.seconds = time.perf_counter() - before
        self.headers = {"Authorization": f"Bearer {settings.token_file.read_text().strip()}"}

    @property
    def megabytes(self) -> float:
        return float(self.process.memory_info().rss / 1e6)


@contextmanager
def running(settings: Settings) -> Iterator[Running]:
    service = Running(settings)
    try:
        yield service
    finally:
        service.process.terminate()
        service.process.wait(30)


def submissions_per_second(service: Running) -> float:
    """Submit many searches from several clients, every fifth of them twice; none is to be lost or doubled."""
    keys = [str(uuid.uuid4()) for _ in range(SUBMISSIONS)]
    asked = [key for number, key in enumerate(keys) for key in [key] * (2 if number % 5 == 0 else 1)]

    def work(part: list[str]) -> set[str]:
        with httpx2.Client(base_url=service.url, headers=service.headers, timeout=60) as client:
            answers = [client.post("/api/searches", json=SPEC, headers={"Idempotency-Key": key}) for key in part]
        assert all(answer.status_code == 201 for answer in answers)
        return {answer.json()["search"] for answer in answers}

    before = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        found = set().union(*pool.map(work, [asked[index::CLIENTS] for index in range(CLIENTS)]))
    seconds = time.perf_counter() - before
    assert len(found) == SUBMISSIONS
    with httpx2.Client(base_url=service.url, headers=service.headers) as client:
        stored, cursor = 0, ""
        while cursor is not None:
            page = client.get(f"/api/searches?limit=500&owner=local&cursor={cursor}").json()
            stored, cursor = stored + len(page["searches"]), page["next"]
    assert stored == SUBMISSIONS
    return len(asked) / seconds


def commit_to_screen(settings: Settings, service: Running) -> list[float]:
    """Finish trials, one after another, while a browser shows the search and many streams follow it."""
    search_id = submit(settings.database_url, name="live", seeds=8)
    recorder = open_recorder(settings.database_url, search_id)

    def follow() -> None:
        url = f"{service.url}/api/searches/{search_id}/events"
        with suppress(httpx2.HTTPError), httpx2.stream("GET", url, headers=service.headers, timeout=600) as answer:
            for _ in answer.iter_raw():
                pass

    for _ in range(STREAMS):
        threading.Thread(target=follow, daemon=True).start()
    seconds = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"{service.url}/login")
        page.get_by_label("Token").fill(service.headers["Authorization"].split()[1])
        page.get_by_role("button", name="Log in").click()
        page.goto(f"{service.url}/searches/{search_id}")
        page.wait_for_timeout(2000)
        for number, replicate in enumerate(run_sequence(recorder._plan, recorder), 1):
            assert replicate is not None
            trial_id = recorder.start(replicate)
            page.wait_for_timeout(700 + 37 * (number % 10))  # let what its start has set off be over
            recorder.finish(trial_id, Outcome(value=0.9 + number / 1e4))
            committed = time.time()
            shown = page.wait_for_function(
                "done => document.querySelector('#summary').textContent.includes(`${done} of `) && Date.now()",
                arg=number,
            ).json_value()
            seconds.append(max(0.0, shown / 1000 - committed))
            if number == COMMITS:
                break
        browser.close()
    recorder.close()
    return sorted(seconds)


def main() -> None:
    """Print the table."""
    print("| figure | measured | must reach |\n|---|--:|--:|")
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home), port=free_port(), worker=0, requests_per_minute=0, waiting_searches=0)
        with running(settings) as first:
            print(f"| start to first answer, new database | {first.seconds:.2f} s | – |", flush=True)
        with running(settings) as service:
            print(f"| start to first answer | {service.seconds:.2f} s | ≤ 2 s |", flush=True)
            rate = submissions_per_second(service)
            print(
                f"| submissions accepted on SQLite, {CLIENTS} clients, a fifth repeated | {rate:.0f} a second | ≥ 100 |"
            )
            waits = commit_to_screen(settings, service)
            p50, p95 = waits[len(waits) // 2], waits[int(len(waits) * 0.95)]
            print(f"| commit to screen with {STREAMS} open streams, median | {p50:.2f} s | – |")
            print(f"| the same, p95 of {len(waits)} | {p95:.2f} s | ≤ 1 s |")
            print(f"| resident memory of the web process after that | {service.megabytes:.0f} MB | ≤ 200 MB |")
