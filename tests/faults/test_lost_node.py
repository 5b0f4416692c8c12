"""A cluster of two nodes, one of which is killed in the middle of a trial."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from search.engine.ray_environment import HEALTH_CHECKS
from search.store import queries
from search.store.metrics import read_metrics
from search.store.tables import searches as search_rows
from tests.search.ray_cluster import Cluster, serving_ray
from tests.search.stored import show, submit
from tests.search.worker_service import Service


@pytest.fixture
def cluster(own_ray: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Two nodes of one CPU each, with a secret, and health checks that notice a lost node in seconds."""
    secret = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    for name, value in secret.items():
        monkeypatch.setenv(name, value)
    with serving_ray(0, 1, 1, environment={**HEALTH_CHECKS, **secret}) as cluster:
        yield cluster


def test_a_lost_node_costs_its_trial_the_time_since_its_checkpoint_and_nothing_else(
    cluster: Cluster, tmp_path: Path
) -> None:
    service = Service(tmp_path / "home", f"sqlite:///{tmp_path / 'test.db'}")
    service.settings = replace(service.settings, ray_address=cluster.address)
    search_id = submit(
        service.settings.database_url,
        recipe="digits-mlp",
        strategy="grid",
        gm=[1, 8],
        gc=[2],
        seeds=1,
        test_seeds=1,
        numbers={"epochs": 200},
    )
    service.start()
    try:
        service.wait(lambda: len(_reported(service, search_id)) == 2, 90, "the trials did not report")
        time.sleep(1)
        os.kill(cluster.raylets[1], signal.SIGKILL)
        service.wait(lambda: _finished(service, search_id) == [1, 8], 150, "the stage did not end")
    finally:
        service.stop()
    shown = show(service.settings.database_url, search_id)
    assert (shown.status, shown.trials.failed, shown.trials.running) == ("queued", 0, 0)
    with service.engine.connect() as connection:
        trials = queries.list_trials(connection, search_id, stage="grid")
        (lost,) = [trial for trial in trials if trial.cause == "lost"]
        (again,) = [t for t in trials if (t.gm, t.cause) == (lost.gm, "finished")]
        before = [row.epoch for row in read_metrics(connection, lost.trial_id)]
        after = [row.epoch for row in read_metrics(connection, again.trial_id)]
        nodes = connection.execute(select(search_rows.c.cluster)).scalar_one()
    assert len(trials) == 3
    assert lost.detail == "its node was lost"
    assert lost.where.node != again.where.node
    assert before[0] == 1
    assert 1 < after[0] <= before[-1] + 120, "it went on from a checkpoint"
    assert after[-1] == 200
    assert sorted(node["alive"] for node in nodes) == [False, True, True]
    service.engine.dispose()


def _finished(service: Service, search_id: str) -> list[int]:
    """Return the gm of the trials of the stage that have finished."""
    with service.engine.connect() as connection:
        complete = queries.list_trials(connection, search_id, stage="grid", state="COMPLETE")
    return sorted(trial.gm for trial in complete)


def _reported(service: Service, search_id: str) -> list[int]:
    """Return the running trials that have reported."""
    with service.engine.connect() as connection:
        running = queries.list_trials(connection, search_id, state="RUNNING")
        return [trial.trial_id for trial in running if read_metrics(connection, trial.trial_id)]
