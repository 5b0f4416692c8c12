"""Kills change nothing, to the bit: the figures are those of the recipe trained in one process that nobody kills."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGKILL
from typing import Any

import psutil
import pytest
from sqlalchemy import text

from search.engine.trial_process import TrialJob, run_trial
from search.plan.sequence import run_sequence
from search.plan.stages import UNNORMALIZED
from search.settings import Settings
from search.store import leases, queries
from search.store.database import open_engine
from search.vocabulary.outcome import Outcome
from search.vocabulary.secret import SecretUrl
from tests.faults import drivers
from tests.faults.remains import Search, read_searches
from tests.faults.site import Site
from tests.search.stored import open_recorder, prepare, show, submit

PATIENCE = 4  # times what an idle machine needs: other tests start searches beside these
DIGITS: dict[str, Any] = {
    "recipe": "digits-mlp",
    "gm": [1, 8],
    "gc": [1, 2],
    "seeds": 2,
    "test_seeds": 1,
    "numbers": {"epochs": 30},
}
SLOW: dict[str, Any] = {"gm": [8], "gc": [4], "seeds": 4, "test_seeds": 1, "numbers": {"seconds": 1.0, "epochs": 4}}


class Running:
    """A site whose database is looked at."""

    def __init__(self, home: Path, url: str, *, without_ray: bool) -> None:
        settings = Settings(home=home, db=SecretUrl(url), lease_seconds=3.0, renew_seconds=0.5, checkpoint_seconds=0.5)
        self.site = Site(settings, [], without_ray=without_ray)
        self.engine = open_engine(url, read_only=True)

    @property
    def search(self) -> Search:
        (search,) = read_searches(self.engine)
        return search

    def running(self) -> int:
        return sum(trial.state == "RUNNING" for trial in self.search.trials)

    def epochs(self) -> dict[int, list[int]]:
        """Return the epochs that each trial has reported, by its id."""
        reported: dict[int, list[int]] = {}
        with self.engine.connect() as connection:
            for trial_id, epoch in connection.execute(text("SELECT trial_id, epoch FROM metrics ORDER BY epoch")):
                reported.setdefault(trial_id, []).append(epoch)
        return reported

    def reports(self) -> bool:
        """Whether a trial that the present driver runs has reported."""
        search, reported = self.search, self.epochs()
        own = [trial for trial in search.trials if (trial.state, trial.epoch) == ("RUNNING", search.epoch)]
        return any(trial.trial_id in reported for trial in own)

    def wait(self, condition: Callable[[], object], what: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds * PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"{what}\n{self.site.logs()}"
            time.sleep(0.1)

    def close(self) -> None:
        self.site.stop()
        processes, files = self.site.left()
        self.site.close()
        assert (processes, files) == ([], [])


@pytest.fixture
def on_ray(own_ray: None, tmp_path: Path) -> Iterator[Running]:
    """On SQLite alone: what PostgreSQL does differently is in the campaigns, which need no Ray."""
    url = f"sqlite:///{tmp_path / 'test.db'}"
    prepare(url)
    running = Running(tmp_path / "home", url, without_ray=False)
    yield running
    running.close()


@pytest.fixture
def without_ray(database_url: str, tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path / "home", database_url, without_ray=True)
    yield running
    running.close()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the search gives in this process, one trial after another."""
    home = tmp_path_factory.mktemp("undisturbed")
    url = f"sqlite:///{home / 'test.db'}"
    search_id = submit(url, **DIGITS)
    recorder = open_recorder(url, search_id)
    from trainers.recipe import resolve

    data = resolve(recorder._recipe.load)(recorder._plan.spec.resolve_numbers(recorder._recipe, "main"), None, home)
    for replicate in run_sequence(recorder._plan, recorder):
        assert replicate is not None
        point, trial_id = replicate.point, recorder.start(replicate)
        job = TrialJob(
            recipe=DIGITS["recipe"],
            overrides=recorder._plan.spec.resolve_overrides(recorder._recipe, point.variant),
            gm=point.gm,
            gc=point.gc,
            seed=replicate.seed,
            normalize=point != UNNORMALIZED,
            measure="test" if replicate.stage == "test" else "validation",
            folder=str(home / replicate.key),
            log=str(home / "trial.log"),
        )
        messages: list[dict[str, Any]] = []
        run_trial(job, data, messages.append, {})
        recorder.finish(trial_id, Outcome.from_json(messages[-1]["outcome"]))
    drivers.leave(recorder, "finish")
    return show(url, search_id)


def test_kills_and_damaged_checkpoints_change_nothing(on_ray: Running, undisturbed: Any) -> None:
    chance = random.Random(0)
    search_id = submit(on_ray.site.settings.database_url, **DIGITS)
    on_ray.site.start()
    for kind in ("tree", "trial", "driver", "raylet"):
        on_ray.wait(on_ray.reports, "nothing runs")
        time.sleep(chance.uniform(0.1, 0.5))
        epoch = on_ray.search.epoch
        on_ray.site.signal(kind, SIGKILL, 1 if kind == "trial" else None)
        if kind == "tree":
            for file in on_ray.site.settings.home.glob("searches/*/checkpoints/*/*.pt"):
                file.write_bytes(file.read_bytes()[:100])
        on_ray.site.start()
        if kind != "trial":
            on_ray.wait(lambda epoch=epoch: on_ray.search.epoch > epoch, f"it stands still without its {kind}", 90)
    on_ray.wait(lambda: on_ray.search.status == "done", "the search did not end", 120)
    shown = show(on_ray.site.settings.database_url, search_id)
    assert shown.stages == undisturbed.stages
    assert shown.test == undisturbed.test
    assert (shown.trials.running, shown.trials.failed) == (0, 0)
    trials = on_ray.search.trials
    assert set(Counter(trial.key for trial in trials if trial.state == "COMPLETE").values()) == {1}
    assert {trial.cause for trial in trials} <= {None, "lost", "cancelled"}
    assert "lost" in {trial.cause for trial in trials}, "no kill met a running trial"
    complete, epochs = {trial.key: trial.trial_id for trial in trials if trial.state == "COMPLETE"}, on_ray.epochs()
    cut = {trial.key for trial in trials if trial.state != "COMPLETE"}
    # One that was cut with its result in the checkpoint has nothing left to report.
    assert any(epochs.get(complete[key], [2])[0] > 1 for key in cut), (
        "no trial that was cut went on from its checkpoint"
    )


def test_a_driver_frozen_past_its_lease_writes_nothing_when_it_wakes(without_ray: Running) -> None:
    frozen, url = without_ray, without_ray.site.settings.database_url
    submit(url, **SLOW)
    frozen.site.start()
    frozen.wait(lambda: frozen.running() > 0, "nothing runs")
    time.sleep(1.5)
    (worker,) = frozen.site.processes("worker")
    worker.suspend()  # it would kill its frozen driver
    driver = _freeze_driver(frozen)
    other = Running(frozen.site.settings.home / "other", url, without_ray=True)
    try:
        other.site.start()
        other.wait(lambda: other.search.epoch > 1, "nobody took the search over", 30)
        other.wait(lambda: _written(other, "<> '1'") > 0, "the new driver wrote nothing")
        before = _written(other, "= '1'")
        driver.resume()
        other.wait(lambda: driver.status() == psutil.STATUS_ZOMBIE, "the stale driver goes on", 15)
        other.wait(lambda: other.search.status == "done", "the search did not end")
        assert before > 0
        assert _written(other, "= '1'") == before
        assert other.running() == 0
    finally:
        worker.resume()
        other.close()


def _freeze_driver(running: Running) -> psutil.Process:
    """Suspend the driver between two writes: in the middle of one it would keep SQLite's only lock."""
    (driver,) = running.site.processes("driver")
    with open_engine(running.site.settings.database_url).begin():  # has SQLite's lock, so the driver has not
        driver.suspend()
    return driver


def _written(running: Running, epoch: str) -> int:
    """Count the rows that belong to trials of some epochs: values, attributes, reports and figures."""
    of_epoch = f"SELECT trial_id FROM trial_user_attributes WHERE key = 'epoch' AND value_json {epoch}"
    tables = ("trials", "trial_values", "trial_intermediate_values", "trial_user_attributes", "metrics")
    with running.engine.connect() as connection:
        return sum(
            connection.execute(text(f"SELECT count(*) FROM {table} WHERE trial_id IN ({of_epoch})")).scalar_one()
            for table in tables
        )


def test_a_worker_that_is_told_to_stop_leaves_its_search_queued_and_free(without_ray: Running) -> None:
    search_id = submit(without_ray.site.settings.database_url, numbers={"seconds": 2.0, "epochs": 8})
    without_ray.site.start()
    without_ray.wait(lambda: without_ray.running() > 0, "nothing runs")
    assert without_ray.site.stop() == 0
    assert without_ray.site.left() == ([], [])
    assert without_ray.search.status == "queued"
    with without_ray.engine.connect() as connection:
        assert leases.find_holder(connection, search_id) is None
        causes = {trial.cause for trial in queries.list_trials(connection, search_id)}
    assert causes <= {"finished", "cancelled"}
