"""What one driver bears: 200 trials that report once a second, and 1,000 slots on a simulated clock.

Ray is left out, at the executor's seam: 200 of its processes do not fit a machine of two cores. What is measured is
everything from there on: the recorder, Optuna's tables and ours, all of it committed to SQLite.
"""

from __future__ import annotations

import heapq
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx2

from search.plan.sequence import run_sequence
from search.settings import Settings
from search.vocabulary.outcome import Outcome
from tests.benchmarks.service import Running, running
from tests.search.stored import open_recorder, submit
from tests.service.conftest import free_port

REPORTING, SECONDS = 200, 60  # trials at once, and how long they report once a second
PAUSE = 0.05  # between two requests to the web process
GRID = {"strategy": "grid", "gm": [1, 2, 4, 8, 16], "gc": [0, 1, 2, 4, 8], "test_seeds": 1}
SLOTS, TRIAL_SECONDS, REPORTS = 1_000, 60.0, 6
VARIANTS, SEEDS = 20, 40  # of 25 points: 20,000 trials


def main() -> None:
    """Print the tables."""
    print("| figure | measured | must reach |\n|---|--:|--:|")
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home), port=free_port(), worker=0, requests_per_minute=0)
        search_id = submit(settings.database_url, **GRID, seeds=16)
        with running(settings) as service:
            _beside_reports(settings, service, search_id)
    with tempfile.TemporaryDirectory() as home:
        simulate(f"sqlite:///{home}/test.db")


def _beside_reports(settings: Settings, service: Running, search_id: str) -> None:
    """Let trials report while somebody looks at their search."""
    paths = [f"/api/searches/{search_id}", f"/api/searches/{search_id}/figures/grid/curves", "/api/searches"]
    before = _p95(service, paths, SECONDS / 3)
    words = [sys.executable, "-m", "tests.benchmarks.driver", settings.database_url.reveal(), search_id]
    reporter = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert reporter.stdout
    reporter.stdout.readline()  # they report from now on
    during = _p95(service, paths, SECONDS - 2)  # so that both ends of it are while they report
    found = json.loads(reporter.stdout.readline())
    after = _p95(service, paths, SECONDS / 3)  # as many figures are stored, and nothing is written
    reporter.wait()
    print(
        f"| {REPORTING} trials report once a second: the latest commit after its report "
        f"| {found['latest']:.2f} s | ≤ 5 s |"
    )
    print(f"| the same, median | {found['median'] * 1000:.0f} ms | – |")
    print(f"| share of the driver's time | {found['busy']:.2f} | – |")
    print(f"| p95 of the web process before any trial | {before * 1000:.1f} ms | – |")
    print(f"| while they report | {during * 1000:.1f} ms | – |")
    print(f"| afterwards, with all that they have reported and nothing written | {after * 1000:.1f} ms | – |")
    print(f"| while they report, over afterwards | {during / after:.2f} | unchanged |")


def _p95(service: Running, paths: list[str], seconds: float) -> float:
    """Ask the web process in turn for some paths; return the 95th percentile in seconds."""
    times: list[float] = []
    until = time.monotonic() + seconds
    with httpx2.Client(base_url=service.url, headers=service.headers, timeout=60) as client:
        while time.monotonic() < until:
            time.sleep(PAUSE)
            before = time.perf_counter()
            client.get(paths[len(times) % len(paths)]).raise_for_status()
            times.append(time.perf_counter() - before)
    return sorted(times)[int(len(times) * 0.95)]


def report(url: str, search_id: str) -> None:
    """Be the driver of trials that report once a second; print how late reports were committed."""
    recorder = open_recorder(url, search_id, 600)
    work = run_sequence(recorder._plan, recorder)
    trials = [recorder.start(replicate) for replicate, _ in zip(work, range(REPORTING), strict=False) if replicate]
    print("they report", flush=True)
    start = time.monotonic()
    due = [(start + number / REPORTING, 1, trial_id) for number, trial_id in enumerate(trials)]
    heapq.heapify(due)
    late: list[float] = []
    busy = 0.0
    while due:
        at, epoch, trial_id = heapq.heappop(due)
        time.sleep(max(0.0, at - time.monotonic()))
        began = time.monotonic()
        recorder.report(trial_id, {epoch: {"validation_accuracy": 0.5 + epoch / 1000, "train_loss": 1 / epoch}})
        busy += time.monotonic() - began
        late.append(time.monotonic() - at)
        if epoch < SECONDS:
            heapq.heappush(due, (at + 1, epoch + 1, trial_id))
    late.sort()
    span = time.monotonic() - start
    print(json.dumps({"latest": late[-1], "median": late[len(late) // 2], "busy": busy / span}), flush=True)
    recorder.close()


def simulate(url: str) -> None:
    """Run a large grid on many slots whose trials take a minute of a simulated clock; print how busy the driver is."""
    search_id = submit(url, **GRID, seeds=SEEDS, variants={f"v{number:02}": {} for number in range(VARIANTS)})
    recorder = open_recorder(url, search_id, 36_000)
    work, clock, ended, idle = run_sequence(recorder._plan, recorder), 0.0, 0, SLOTS
    events: list[tuple[float, int, int]] = []  # when, which report of the trial, its trial_id
    spent: dict[str, list[float]] = {"start": [], "report": [], "finish": []}

    def timed(what: str, begin: float) -> None:
        spent[what].append(time.perf_counter() - begin)

    def start_one() -> bool:
        begin = time.perf_counter()
        replicate = next(work, None)
        if replicate is None:  # a stage waits for its last trials
            return False
        trial_id = recorder.start(replicate)
        recorder.record_location(trial_id, {"host": "node", "pid": 1, "node": "n", "gpus": []})
        timed("start", begin)
        heapq.heappush(events, (clock + TRIAL_SECONDS / REPORTS, 1, trial_id))
        return True

    while True:
        while idle and start_one():
            idle -= 1
        if not events:
            break
        clock, number, trial_id = heapq.heappop(events)
        begin = time.perf_counter()
        recorder.report(trial_id, {number: {"validation_accuracy": 0.9, "train_loss": 0.1}})
        timed("report", begin)
        if number < REPORTS:
            heapq.heappush(events, (clock + TRIAL_SECONDS / REPORTS, number + 1, trial_id))
            continue
        begin = time.perf_counter()
        recorder.finish(trial_id, Outcome(value=0.9 + trial_id % 100 / 10_000))
        timed("finish", begin)
        ended, idle = ended + 1, idle + 1
    recorder.close()
    _print_simulated(ended, clock, spent)


def _print_simulated(ended: int, clock: float, spent: dict[str, list[float]]) -> None:
    busy = sum(map(sum, spent.values()))
    print(
        f"| {SLOTS:,} slots, {ended:,} trials of {TRIAL_SECONDS:.0f} s, {REPORTS} reports each: simulated time ", end=""
    )
    print(f"| {clock:,.0f} s | – |")
    print(f"| the driver's work in that time | {busy:,.0f} s ({busy / clock:.2f} of it) | < 1 |")
    for what, times in spent.items():
        hundred = len(times) // 100
        first, last = sum(times[:hundred]) / hundred, sum(times[-hundred:]) / hundred
        mean = sum(times) / len(times)
        print(f"| a {what}: mean; the first and the last hundredth of them ", end="")
        print(f"| {mean * 1000:.1f} ms; {first * 1000:.1f}, {last * 1000:.1f} ms | – |")


if __name__ == "__main__":
    report(*sys.argv[1:])
