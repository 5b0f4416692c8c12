"""Whatever dies: every point once, nothing left RUNNING, and the figures of an undisturbed run to the bit.

``KILLS_PER_DATABASE`` sets how many kills each database sees; ``make faults`` asks for more than ``make test``.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import text

from search.settings import Settings, to_environment
from search.store import leases, queries, searches
from search.store.database import open_engine
from tests.lanes import permit_ray
from tests.processes import command_of
from tests.search.program import SEQNORM, processes_of, wait_until_gone
from tests.search.stored import finished_search, show, submit

PATIENCE = 4  # times what an idle machine needs: other tests start searches beside these
KILLS = int(os.environ.get("KILLS_PER_DATABASE", "3"))
SEED = int(os.environ.get("KILLS_SEED", "0"))
DIGITS: dict[str, Any] = {
    "recipe": "digits-mlp",
    "gm": [1, 8],
    "gc": [1, 2],
    "seeds": 2,
    "test_seeds": 2,
    "numbers": {"epochs": 40},
}


class Service:
    """A worker over a database, and the processes that belong to it."""

    def __init__(self, home: Path, url: str) -> None:
        self.settings = Settings(home=home, db=url, lease_seconds=3.0, renew_seconds=0.5, checkpoint_seconds=0.5)
        self.engine = open_engine(url, read_only=True)
        home.mkdir(parents=True, exist_ok=True)
        self.worker: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start a worker, if there is none."""
        if self.worker is None or self.worker.poll() is not None:
            log = (self.settings.home / "worker.log").open("ab")
            environment = os.environ | to_environment(self.settings)
            self.worker = subprocess.Popen([SEQNORM, "worker"], env=environment, stdout=log, stderr=log)
            log.close()

    def stop(self) -> None:
        """End the worker and all it has started."""
        if self.worker is not None and self.worker.poll() is None:
            self.worker.terminate()
            self.worker.wait(20)
        wait_until_gone(self.settings.home)

    def named(self, *words: str) -> list[psutil.Process]:
        """Return the processes whose command line has one of the words."""
        processes = processes_of(self.settings.home)
        return [process for process in processes if any(word in command_of(process) for word in words)]

    def status(self, search_id: str) -> str:
        with self.engine.connect() as connection:
            return searches.get(connection, search_id).status

    def running(self, search_id: str) -> int:
        with self.engine.connect() as connection:
            return len(queries.list_trials(connection, search_id, state="RUNNING"))

    def wait(self, condition, seconds: float = 90, what: str = "") -> None:
        deadline = time.monotonic() + seconds * PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"{what}\n{self.logs()}"
            time.sleep(0.1)

    def logs(self) -> str:
        files = [*self.settings.home.glob("*.log"), *self.settings.home.glob("searches/*/driver.log")]
        return "\n".join(f"{file}: {file.read_text(errors='replace')[-2500:]}" for file in files)


@pytest.fixture
def service(own_ray: None, database_url: str, tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path / "home", database_url)
    yield service
    service.stop()


def kill(service: Service, target: str) -> None:
    """SIGKILL a part of the service, or all of it."""
    victims = {
        "driver": lambda: service.named("search.engine.driver"),
        "trial": lambda: service.named("ray::")[:1],
        "worker": lambda: [psutil.Process(service.worker.pid)] if service.worker else [],
        "tree": lambda: processes_of(service.settings.home),
    }[target]()
    for victim in victims:
        try:
            victim.kill()
        except psutil.NoSuchProcess:
            continue
    if target in ("worker", "tree") and service.worker:
        service.worker.wait(10)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the search gives when nothing dies."""
    home = tmp_path_factory.mktemp("undisturbed")
    service = Service(home, f"sqlite:///{home / 'test.db'}")
    search_id = submit(service.settings.database_url, **DIGITS)
    with pytest.MonkeyPatch.context() as patch:
        permit_ray(patch)
        service.start()
    service.wait(lambda: service.status(search_id) == "done", 120, "the undisturbed run did not end")
    service.stop()
    shown = show(service.settings.database_url, search_id)
    service.engine.dispose()
    return shown


def test_kills_at_random_moments_change_nothing(service: Service, undisturbed: dict[str, Any]) -> None:
    chance = random.Random(SEED)
    search_id = submit(service.settings.database_url, **DIGITS)
    service.start()
    targets = ["tree", "trial", "driver", "worker"]
    for kill_number in range(KILLS):
        service.wait(lambda: service.running(search_id) > 0 or service.status(search_id) == "done", 60, "nothing runs")
        time.sleep(chance.uniform(0.0, 2.0))
        kill(service, targets[kill_number % 4])
        service.start()
    service.wait(lambda: service.status(search_id) == "done", 120, "the search did not end")
    shown = show(service.settings.database_url, search_id)
    assert shown.stages == undisturbed.stages
    assert shown.test == undisturbed.test
    assert shown.trials.running == 0
    assert shown.trials.failed == 0
    with service.engine.connect() as connection:
        trials = queries.list_trials(connection, search_id, limit=500)
    complete = Counter((t.stage, t.variant, t.gm, t.gc, t.seed) for t in trials if t.state == "COMPLETE")
    assert set(complete.values()) == {1}
    assert len(complete) == 2 * 2 + 2 * 2 + len(undisturbed.test) * 2
    assert {t.cause for t in trials} <= {"finished", "lost", "cancelled"}
    assert "lost" in {t.cause for t in trials}, "no kill met a running trial"
    assert _epoch(service, search_id) > KILLS / 2, "the kills of drivers were not noticed"


def test_a_driver_frozen_past_its_lease_writes_nothing_when_it_wakes(service: Service) -> None:
    search_id = submit(
        service.settings.database_url, gm=[8], gc=[4], seeds=4, test_seeds=1, numbers={"seconds": 1.0, "epochs": 4}
    )
    service.start()
    service.wait(lambda: service.running(search_id) > 0, 60, "nothing runs")
    time.sleep(1.5)
    frozen = _freeze_driver(service)
    other = Service(service.settings.home / "other", service.settings.database_url)
    try:
        other.start()
        other.wait(lambda: _epoch(service, search_id) > 1, 30, "nobody took the search over")
        other.wait(lambda: _written(service, "<> '1'") > 0, 60, "the new driver wrote nothing")
        before = _written(service, "= '1'")
        frozen.resume()
        psutil.wait_procs([frozen], timeout=15)
        assert not frozen.is_running(), "the stale driver goes on"
        other.wait(lambda: other.status(search_id) == "done", 60, "the search did not end")
        assert before > 0
        assert _written(service, "= '1'") == before
        assert show(service.settings.database_url, search_id).trials.running == 0
    finally:
        other.stop()
        other.engine.dispose()


def _freeze_driver(service: Service) -> psutil.Process:
    """Suspend the driver between two writes: in the middle of one it would keep SQLite's only lock."""
    (driver,) = service.named("search.engine.driver")
    writing = open_engine(service.settings.database_url)
    with writing.begin():  # has SQLite's lock, so the driver has not
        driver.suspend()
    writing.dispose()
    return driver


def _epoch(service: Service, search_id: str) -> int:
    with service.engine.connect() as connection:
        return searches.get(connection, search_id).epoch


def _written(service: Service, epoch: str) -> int:
    """Count the rows that belong to trials of some epochs: values, attributes, reports and figures."""
    of_epoch = f"SELECT trial_id FROM trial_user_attributes WHERE key = 'epoch' AND value_json {epoch}"
    tables = ("trials", "trial_values", "trial_intermediate_values", "trial_user_attributes", "metrics")
    with service.engine.connect() as connection:
        return sum(
            connection.execute(text(f"SELECT count(*) FROM {table} WHERE trial_id IN ({of_epoch})")).scalar_one()
            for table in tables
        )


CLAIMER = """
import sys, time
from search.vocabulary.errors import Conflict
from search.vocabulary.states import Status
from search.store import leases, searches, transitions
from search.store.database import open_engine
engine = open_engine(sys.argv[1])
time.sleep(max(0, float(sys.argv[2]) - time.time()))
while True:
    with engine.connect() as connection:
        search_id = leases.next_claimable(connection)
    if search_id is None:
        break
    try:
        lease = leases.acquire(engine, search_id, 60)
    except Conflict:
        continue
    print(search_id, flush=True)
    with engine.begin() as connection:
        leases.release(connection, lease)
        transitions.set_status(connection, search_id, Status.DONE, "")
"""


def test_workers_on_twenty_searches_never_share_one(database_url: str) -> None:
    ids = [submit(database_url) for _ in range(20)]
    words = [sys.executable, "-c", CLAIMER, database_url, str(time.time() + 3)]
    workers = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    taken = [worker.communicate(timeout=60)[0].split() for worker in workers]
    assert sorted(search_id for share in taken for search_id in share) == sorted(ids)


def test_higher_priorities_are_taken_first(database_url: str) -> None:
    ids = {priority: submit(database_url, priority=priority) for priority in (0, 5, -5)}
    engine = open_engine(database_url)
    order = []
    while True:
        with engine.connect() as connection:
            search_id = leases.next_claimable(connection)
        if search_id is None:
            break
        leases.acquire(engine, search_id, 60)
        order.append(search_id)
    assert order == [ids[5], ids[0], ids[-5]]


def test_a_worker_that_is_told_to_stop_leaves_its_search_queued_and_free(service: Service) -> None:
    search_id = submit(service.settings.database_url, numbers={"seconds": 2.0, "epochs": 8})
    service.start()
    service.wait(lambda: service.running(search_id) > 0, 60, "nothing runs")
    assert service.worker is not None
    service.worker.send_signal(signal.SIGTERM)
    assert service.worker.wait(10) == 0
    wait_until_gone(service.settings.home, 20)
    assert service.status(search_id) == "queued"
    with service.engine.connect() as connection:
        assert leases.find_holder(connection, search_id) is None
        causes = {trial.cause for trial in queries.list_trials(connection, search_id)}
    assert causes <= {"finished", "cancelled"}


def test_stock_optuna_dashboard_lists_the_studies(database_url: str) -> None:
    import json

    import optuna
    from optuna_dashboard import wsgi

    search_id = finished_search(database_url)
    storage = optuna.storages.RDBStorage(database_url)
    answered: list[str] = []
    body = b"".join(
        wsgi(storage)(
            {
                "REQUEST_METHOD": "GET",
                "PATH_INFO": "/api/studies",
                "SERVER_NAME": "localhost",
                "SERVER_PORT": "80",
                "wsgi.input": None,
                "wsgi.url_scheme": "http",
            },
            lambda status, headers, *_: answered.append(status),
        )
    )
    storage.engine.dispose()
    names = {study["study_name"] for study in json.loads(body)["study_summaries"]}
    assert answered == ["200 OK"]
    assert names >= {f"{search_id}/{stage}" for stage in ("gm", "gc", "test")}
