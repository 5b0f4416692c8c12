"""Fractions of GPUs on a real Ray that has none: it counts and assigns what it is told that its nodes have."""

from __future__ import annotations

import secrets
import time
from collections import Counter, defaultdict
from math import inf
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
            settings.database_url, strategy="grid", gm=[1, 2, 4, 8, 16], gc=[2, 4], seeds=64, test_seeds=1, cpus=0.1,
            gpus=0.5, numbers={"seconds": 0.5},
        )  # fmt: skip
        engine = open_engine(settings.database_url)
        until = time.monotonic() + 150
        cluster.add_node("1:1")

        def devices() -> dict[tuple[str | None, int | str], list[TrialRow]]:
            found = defaultdict(list)
            with engine.connect() as connection:
                for trial in queries.list_trials(connection, search_id, limit=1000):
                    if trial.where is not None and trial.where.gpus:
                        assert len(trial.where.gpus) == 1, "a trial sees its own device"
                        found[trial.where.node, trial.where.gpus[0]].append(trial)
            return found

        def stop_when_all_are_used() -> None:
            if [most_at_once(ran) for ran in devices().values()] == [2, 2, 2]:
                raise AllUsed
            assert time.monotonic() < until, f"not every fraction of a device is used: {devices()}"

        with pytest.raises(AllUsed):
            Worker(settings, engine).run(search_id, stop_when_all_are_used)
    used = devices()
    assert sorted(Counter(node for node, _ in used).values()) == [1, 2], "the devices of both nodes"
    assert [most_at_once(ran) for ran in used.values()] == [2, 2, 2], "and none is used beyond its fractions"


class AllUsed(Exception):
    """Every slot has trained while its neighbour did."""


def most_at_once(trials: list[TrialRow]) -> int:
    """How many trials ran at the same time, at the most."""
    spans = [
        (trial.started_at, trial.started_at + (inf if trial.seconds is None else trial.seconds)) for trial in trials
    ]
    return max(sum(start <= at < end for start, end in spans) for at, _ in spans)
