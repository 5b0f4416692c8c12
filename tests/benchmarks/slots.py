"""Whether every slot of a search is used: real Ray, 16 slots on fractions of CPUs, trials that sleep."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from statistics import median

from search.engine.worker import Worker
from search.settings import Settings
from search.store import queries
from search.store.database import open_engine
from search.views import TrialRow
from tests.benchmarks.engine import row
from tests.search.stored import submit

SLOTS = 16
TRIALS = 10 * SLOTS  # to be left when the last slot starts
GM, GC = [1, 2, 4, 8, 16], [2, 4]
SECONDS = 2.0  # of a trial
REPEATS = 3  # the median is reported


@dataclass(frozen=True)
class Use:
    """How a search used its slots. Times are in seconds since the epoch."""

    spans: list[tuple[float, float]]  #: of the trials
    first_starts: list[float]  #: of the slots, in order

    def __str__(self) -> str:
        first, full = self.first_starts[0], self.first_starts[-1]
        return (
            f"{len(self.first_starts)} slots in {', '.join(f'{start - first:.1f}' for start in self.first_starts)} s, "
            f"with {sum(start >= full for start, _ in self.spans)} trials to start; {self.over_ideal:.3f} × the ideal, "
            f"{self.mean_busy:.2f} busy on average, {self.most_busy} at most"
        )

    @property
    def start_seconds(self) -> float:
        """From the first slot's first trial to the last slot's."""
        return self.first_starts[-1] - self.first_starts[0]

    @property
    def over_ideal(self) -> float:
        """From the last slot's first trial to the last end, over the work that was left then, shared by all slots."""
        full = self.first_starts[-1]
        left = sum(min(SECONDS, max(0.0, start + SECONDS - full)) for start, _ in self.spans)
        return (max(end for _, end in self.spans) - full) / (left / SLOTS)

    def busy(self, at: float) -> int:
        """How many slots trained at a time."""
        return sum(start <= at < end for start, end in self.spans)

    @property
    def most_busy(self) -> int:
        """How many slots trained at once at most."""
        return max(self.busy(start) for start, _ in self.spans)

    @property
    def mean_busy(self) -> float:
        """How many slots trained on average while there was work for all of them."""
        full, last = self.first_starts[-1], max(start for start, _ in self.spans)
        return sum(max(0.0, min(end, last) - max(start, full)) for start, end in self.spans) / (last - full)


def main() -> None:
    """Print the table."""
    print("| figure | measured | must reach |\n|---|--:|--:|")
    uses, bare = [], []
    for _ in range(REPEATS):
        bare.append(bare_actors())
        uses.append(search(TRIALS + ceil(SLOTS / 2 * 1.2 * bare[-1] / SECONDS)))  # slots start one after another
        print(f"<!-- bare actors in {bare[-1]:.1f} s; {uses[-1]}; load {os.getloadavg()[0]:.1f} -->", flush=True)
    name = f"{SLOTS} slots, trials of {SECONDS:g} s"
    row(f"{name}: last slot's first start to last end, over the ideal", median(u.over_ideal for u in uses), "×", 1.10)
    starts = median(use.start_seconds / other for use, other in zip(uses, bare, strict=True))
    row(f"{name}: first start to last slot busy, over {SLOTS} bare actors", starts, "×", 1.5)
    row(f"{name}: slots busy at once at most", min(use.most_busy for use in uses), "slots", SLOTS, "≥")
    mean_busy = median(use.mean_busy for use in uses)
    row(f"{name}: slots busy on average once all have started", mean_busy, "slots", round(SLOTS / 1.1, 2), "≥")


def search(trials: int) -> Use:
    """Run a search of at least so many trials; return how it used its slots."""
    points = len(GM) * len(GC)
    seeds = ceil(trials / points)
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder))
        search_id = submit(
            settings.database_url,
            strategy="grid",
            gm=GM,
            gc=GC,
            seeds=seeds,
            test_seeds=1,
            cpus=(os.cpu_count() or 1) / SLOTS,
            numbers={"seconds": SECONDS},
        )
        engine = open_engine(settings.database_url)
        ended = Worker(settings, engine).run(search_id, lambda: None)
        assert ended.status == "done", ended.reason
        with engine.connect() as connection:
            rows = queries.list_trials(connection, search_id, stage="grid", limit=seeds * points)
        engine.dispose()
    return _use(rows)


def _use(trials: list[TrialRow]) -> Use:
    spans, firsts = [], {}
    for trial in sorted(trials, key=lambda trial: trial.started_at):
        assert trial.where is not None, f"{trial} has run"
        assert trial.seconds is not None, f"{trial} has ended"
        spans.append((trial.started_at, trial.started_at + trial.seconds))
        firsts.setdefault(trial.where.pid, trial.started_at)
    return Use(spans, sorted(firsts.values()))


def bare_actors() -> float:
    """Return the seconds from the start of the first of as many bare Ray actors to the last's."""
    words = [sys.executable, "-m", "tests.benchmarks.bare_actors", str(SLOTS), str((os.cpu_count() or 1) / SLOTS)]
    return float(subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
