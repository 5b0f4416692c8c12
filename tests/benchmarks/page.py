"""The page of a search with 50,000 trials in a headless browser, beside stock optuna-dashboard on the same database."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil
from playwright.sync_api import Browser, TimeoutError, sync_playwright

from search.settings import Settings
from tests.benchmarks.seeding import seed_store
from tests.benchmarks.service import Running, running
from tests.service.conftest import chromium, free_port

TRIALS, OTHERS, VISITS = 50_000, 1_000, 5
PATIENCE_MS = 180_000  # for a page; one that takes longer is said to
DRAWN = "() => document.querySelector('[data-figure]') && !document.querySelector('[data-figure]:not([data-drawn])')"
WITH_TRIALS = """() => [...document.querySelectorAll('.js-plotly-plot')]
  .some((chart) => chart.data?.some((trace) => (trace.x?.length ?? 0) > 10000))"""
SINCE_FIRST_BYTE = "performance.now() - performance.getEntriesByType('navigation')[0].responseStart"
SENT = "performance.getEntriesByType('resource').reduce((sum, each) => sum + each.transferSize, 0)"


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        settings = Settings(home=Path(home), port=free_port(), worker=0, requests_per_minute=0)
        large = seed_store(settings.database_url, TRIALS, OTHERS)
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        with running(settings) as service:
            ours = [_ours(browser, service, large) for _ in range(VISITS)]
            megabytes = service.megabytes
        theirs = _theirs(browser, settings.database_url.reveal())
        browser.close()
    first, *again = (seconds for seconds, _ in ours)
    print(f"First byte to charts drawn, a search of {TRIALS:,} trials, a browser without a cache each time.\n")
    print("| page | seconds | sent | memory of the server |\n|---|--:|--:|--:|")
    print(f"| ours, all charts, the first visit to a new process | {first:.2f} s | {ours[0][1]:.1f} MB | – |")
    print(f"| ours, all charts, slowest of {len(again)} more | {max(again):.2f} s | – | {megabytes:.0f} MB |")
    beyond = "no chart with trials after " * (theirs.seconds >= PATIENCE_MS / 1000)
    print(
        f"| optuna-dashboard, its first chart with trials in it | {beyond}{theirs.seconds:.1f} s "
        f"| {theirs.sent:.0f} MB | {theirs.held:.0f} MB |"
    )
    print(f"| optuna-dashboard, the JSON of its trials alone | {theirs.answered:.1f} s | {theirs.answer:.0f} MB | – |")
    print(f"| optuna-dashboard over ours (slowest) | {theirs.seconds / max(first, *again):.0f} × | – | – |")


@dataclass(frozen=True, kw_only=True)
class Theirs:
    """What optuna-dashboard took."""

    answered: float  #: seconds to the JSON of all trials
    answer: float  #: MB of it
    seconds: float  #: to a chart with trials
    sent: float  #: MB to the page until then
    held: float  #: MB of memory


def _ours(browser: Browser, service: Running, search_id: str) -> tuple[float, float]:
    """Visit the page in a browser without a cache; return the seconds to its last chart, and the MB it took."""
    page = browser.new_page()
    page.goto(f"{service.url}/login")
    page.get_by_label("Token").fill(service.headers["Authorization"].split()[1])
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{service.url}/")
    page.goto(f"{service.url}/searches/{search_id}", wait_until="commit")
    page.wait_for_function(DRAWN, timeout=PATIENCE_MS)
    seconds, sent = page.evaluate(SINCE_FIRST_BYTE) / 1000, page.evaluate(SENT) / 1e6
    page.close()
    return seconds, sent


def _theirs(browser: Browser, url: str) -> Theirs:
    """Ask optuna-dashboard for the large study, then visit its page, which profits from what the server has read."""
    port = free_port()
    program = Path(sys.executable).with_name("optuna-dashboard")
    words = [str(program), url, "--host", "127.0.0.1", "--port", str(port)]
    server = psutil.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        base = f"http://127.0.0.1:{port}"
        _wait_for(base)
        studies = httpx2.get(f"{base}/api/studies", timeout=600).json()["study_summaries"]
        newest = max(study["study_id"] for study in studies if study["study_name"].endswith("/grid"))
        before = time.perf_counter()
        answer = len(httpx2.get(f"{base}/api/studies/{newest}?after=0", timeout=600).raise_for_status().content) / 1e6
        answered = time.perf_counter() - before
        page = browser.new_page()
        page.goto(f"{base}/dashboard/studies/{newest}", wait_until="commit", timeout=PATIENCE_MS)
        with suppress(TimeoutError):
            page.wait_for_function(WITH_TRIALS, timeout=PATIENCE_MS)
        seconds, sent = page.evaluate(SINCE_FIRST_BYTE) / 1000, page.evaluate(SENT) / 1e6
        held = server.memory_info().rss + sum(child.memory_info().rss for child in server.children(recursive=True))
        page.close()
        return Theirs(answered=answered, answer=answer, seconds=seconds, sent=sent, held=held / 1e6)
    finally:
        server.terminate()
        server.wait(30)


def _wait_for(base: str) -> None:
    while True:
        with suppress(httpx2.HTTPError):
            httpx2.get(base, timeout=60)
            return
        time.sleep(0.1)
