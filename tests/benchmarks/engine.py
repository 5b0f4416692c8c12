"""What the engine costs beside its trials: real Ray, real SQLite, trials of the planted recipe."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from search.engine.worker import Worker
from search.settings import Settings
from search.store.database import open_engine
from search.store.tables import trials
from tests.search.program import SEQNORM
from tests.search.stored import submit

REPEATS = 3  # the median is reported


def main() -> None:
    """Print the table."""
    print("| figure | measured | must reach |\n|---|--:|--:|")
    idle = {"gm": [1, 2, 4, 8], "gc": [1], "seeds": list(range(50)), "test_seeds": 1}
    row("overhead per trial, 254 trials that do nothing, 2 slots", median(lambda: per_trial(idle)), "s", 0.045)

    two_seconds = {"strategy": "grid", "gm": [8], "gc": [4], "seeds": list(range(37)), "test_seeds": 1}
    span, count, startup = run({**two_seconds, "numbers": {"seconds": 2.0}})
    row(f"{count} trials of 2 s on 2 slots, first start to last end, over {count} s", span / count, "×", 1.05)
    row("from taking the search to its first trial", startup, "s", 10)

    one_second = {"gm": [8], "gc": [4], "seeds": list(range(13)), "test_seeds": 1, "numbers": {"seconds": 1.0}}
    span, count, _ = run(one_second)
    row(f"stages of 13, 13 and 4 trials of 1 s on 2 slots, over {count / 2:g} s", span / (count / 2), "×", 1.10)

    thousand_points()


def thousand_points() -> None:
    """Measure a grid of 1,000 points, and how fast its result is read again."""
    fields = {
        "strategy": "grid",
        "gm": [2**power for power in range(20)],
        "gc": [1, 2, 4, 8, 16],
        "variants": {f"v{number}": {} for number in range(10)},
        "seeds": 1,
        "test_seeds": 1,
        "numbers": {"batch": 2**21},
    }
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder))
        search_id = submit(settings.database_url, **fields)
        engine = open_engine(settings.database_url)
        search = Worker(settings, engine).run(search_id, lambda: None)
        assert search.status == "done", search.reason
        with engine.connect() as connection:
            ended = sorted(
                (day - 2440587.5) * 86400
                for (day,) in connection.execute(select(func.julianday(trials.c.datetime_complete)))
            )
        engine.dispose()
        ratio = (ended[999] - ended[899]) / (ended[100] - ended[0])
        row("1,000-point grid, trials that do nothing: last 100 against first 100", ratio, "×", 1.5)
        start = time.perf_counter()
        words = [SEQNORM, "--home", folder, "resume", search_id, "--json"]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        row("`seqnorm resume` of it, finished, to its result", time.perf_counter() - start, "s", 1)


def per_trial(fields: dict[str, Any]) -> float:
    """Return seconds per trial, from the first start to the last end, times nothing: 2 slots share them."""
    span, count, _ = run(fields)
    return span / count


def run(fields: dict[str, Any]) -> tuple[float, int, float]:
    """Run a search; return first start to last end in seconds, its trials, and its start-up in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder))
        search_id = submit(settings.database_url, **fields)
        engine = open_engine(settings.database_url)
        search = Worker(settings, engine).run(search_id, lambda: None)
        assert search.status == "done", search.reason
        with engine.connect() as connection:
            day = [func.julianday(column) for column in (trials.c.datetime_start, trials.c.datetime_complete)]
            first, last, count = connection.execute(
                select(func.min(day[0]), func.max(day[1]), func.count()).select_from(trials)
            ).one()
        engine.dispose()
        started = (first - 2440587.5) * 86400 + time.timezone  # Optuna writes local time
        return (last - first) * 86400, count, started - (search.started_at or started)


def median(measure: Any) -> float:
    """Measure some times."""
    return sorted(measure() for _ in range(REPEATS))[REPEATS // 2]


def row(figure: str, measured: float, unit: str, bound: float, relation: str = "≤") -> None:
    """Print a row."""
    print(f"| {figure} | {measured:.3f} {unit} | {relation} {bound:g} {unit} |", flush=True)
