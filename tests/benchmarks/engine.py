"""What the engine costs beside its trials: real Ray, real SQLite, trials of the planted recipe."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from search.settings import Settings
from search.store.database import open_engine
from search.store.tables import trials
from search.worker import Worker
from tests.search.engine import submit


def main() -> None:
    """Print the table."""
    print("| figure | measured | must reach |\n|---|--:|--:|")
    idle = {"gm": [1, 2, 4, 8], "gc": [1], "seeds": list(range(50)), "test_seeds": 1}
    span, count, _ = run(idle)
    row("overhead per trial, 200 trials that do nothing, 2 slots", span / count, "s", 0.045)
    span, count, startup = run({"strategy": "grid", "gm": [8], "gc": [4], "seeds": 37, "test_seeds": 1, **seconds(2.0)})
    row(f"{count} trials of 2 s on 2 slots, first start to last end, over {count} s", span / count, "×", 1.05)
    row("its start-up", startup, "s", 10)
    two_stages = {"gm": [8], "gc": [4], "seeds": list(range(13)), "test_seeds": 1, **seconds(1.0)}
    span, count, _ = run(two_stages)
    row(f"stages of 13, 13 and 4 trials of 1 s on 2 slots, over {count / 2} s", span / (count / 2), "×", 1.10)


def seconds(duration: float) -> dict[str, Any]:
    """Make trials last so long."""
    return {"numbers": {"seconds": duration}}


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
            epoch = (first - 2440587.5) * 86400  # Optuna writes local time; the machine's is UTC
        engine.dispose()
        return (last - first) * 86400, count, epoch - (search.started_at or epoch)


def row(figure: str, measured: float, unit: str, bound: float) -> None:
    """Print a row."""
    print(f"| {figure} | {measured:.3f} {unit} | ≤ {bound} {unit} |", flush=True)
