"""What the engine costs beside trials that are commands: real Ray, 40 programs that sleep, on 2 slots."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from search.actions.submit import submit_search
from search.engine.worker import Worker
from search.settings import Settings
from search.store import queries
from search.store.database import open_engine
from tests.benchmarks.engine import row
from trainers.commands.command import Command

SLOTS = 2
SECONDS = 2.0  # of a program
GM, GC, SEEDS = [1, 2, 4, 8, 16], [1, 2, 4, 8], 2
TRIALS = len(GM) * len(GC) * SEEDS
REPEATS = 3  # the median is reported


def main() -> None:
    """Print the table."""
    print("| figure | measured | must reach |\n|---|--:|--:|")
    measured = []
    for _ in range(REPEATS):
        measured.append(run())
        over, startup = measured[-1]
        print(f"<!-- {over:.3f} ×, first trial after {startup:.1f} s; load {os.getloadavg()[0]:.1f} -->", flush=True)
    over, startup = (sorted(figures)[REPEATS // 2] for figures in zip(*measured, strict=True))
    ideal = TRIALS * SECONDS / SLOTS
    name = f"{TRIALS} commands of {SECONDS:g} s on {SLOTS} slots"
    row(f"{name}, first start to last end, over {ideal:g} s", over, "×", 1.10)
    row(f"{name}, from taking the search to its first trial", startup, "s", 10)


def run() -> tuple[float, float]:
    """Run a search; return first start to last end over the ideal, and the seconds until its first trial."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder))
        words = (shutil.which("sh") or "/bin/sh", "-c", f"sleep {SECONDS:g}; echo accuracy: 0.{{seed}}{{gm}}{{gc}}")
        fields = {
            "recipe": "sh",
            "strategy": "grid",
            "gm": GM,
            "gc": GC,
            "seeds": SEEDS,
            "test_seeds": 1,
            "concurrency": SLOTS,
        }
        search_id = submit_search(settings, fields, Command(words=words, folder=folder))
        engine = open_engine(settings.database_url)
        search = Worker(settings, engine).run(search_id, lambda: None)
        assert search.status == "done", search.reason
        with engine.connect() as connection:
            rows = queries.list_trials(connection, search_id, stage="grid", limit=TRIALS)
        engine.dispose()
    assert len(rows) == TRIALS
    first = min(trial.started_at for trial in rows)
    last = max(trial.started_at + (trial.seconds or 0) for trial in rows)
    return (last - first) / (TRIALS * SECONDS / SLOTS), first - (search.started_at or first)


if __name__ == "__main__":
    main()
