"""Fractions of GPUs on a real Ray that has none: it counts and assigns what it is told that its nodes have."""

from __future__ import annotations

import secrets
from collections import defaultdict
from pathlib import Path

import pytest

from search.engine.worker import Worker
from search.settings import Settings
from search.store import queries
from search.store.database import open_engine
from search.views import TrialRow
from tests.search.ray_cluster import serving_ray
from tests.search.stored import submit


def test_trials_share_no_device_beyond_its_fractions_and_a_node_that_joins_is_used(
    own_ray: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secret = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    for name, value in secret.items():
        monkeypatch.setenv(name, value)
    with serving_ray(0, "1:2", environment={**secret, "RAY_worker_niceness": "0"}) as cluster:
        settings = Settings(home=tmp_path, ray_address=cluster.address)
        search_id = submit(
            settings.database_url, strategy="grid", gm=[8], gc=[4], seeds=48, test_seeds=1, cpus=0.1, gpus=0.5,
            numbers={"seconds": 0.5},
        )  # fmt: skip
        engine = open_engine(settings.database_url)
        cluster.add_node("1:1")
        assert Worker(settings, engine).run(search_id, lambda: None).status == "done"
        with engine.connect() as connection:
            trials = queries.list_trials(connection, search_id, limit=100)
    by_device = defaultdict(list)
    for trial in trials:
        assert trial.where is not None
        (device,) = trial.where.gpus
        by_device[trial.where.node, device].append(trial)
    by_node = defaultdict(set)
    for node, device in by_device:
        by_node[node].add(device)
    assert sorted(map(len, by_node.values())) == [1, 2], "all three devices of both nodes"
    assert {device: most_at_once(ran) for device, ran in by_device.items()} == dict.fromkeys(by_device, 2)


def most_at_once(trials: list[TrialRow]) -> int:
    """How many trials ran at the same time, at the most."""
    spans = [(trial.started_at, trial.started_at + (trial.seconds or 0)) for trial in trials]
    return max(sum(start <= at < end for start, end in spans) for at, _ in spans)
