"""Campaigns with fixed seeds: real workers and drivers, without Ray where Ray is not the victim."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults.campaign import Campaign, write_script
from tests.faults.history import Fault, kept_if_failed
from tests.lanes import ROOT

KEPT = ROOT / "faults"  # histories of runs that failed
SEEDS = {"sqlite": [13], "postgresql": [2, 5]}  # which end soon; those of SQLite failed before requests were fenced
if os.environ.get("FAULTS_LONG"):  # set by make faults
    SEEDS = {"sqlite": [4, 13, 32], "postgresql": [2, 3, 5]}
CAMPAIGNS = [(database, seed) for database, seeds in SEEDS.items() for seed in seeds]


@pytest.mark.parametrize(("database_url", "seed"), CAMPAIGNS, indirect=["database_url"])
def test_no_invariant_is_violated(database_url: str, tmp_path: Path, seed: int) -> None:
    database = database_url.partition(":")[0]
    result = Campaign(write_script(seed, database), seed, database_url, tmp_path / "home").run()
    with kept_if_failed(result.history, KEPT):
        assert result.violations == [], result.logs
    assert result.history.of(Fault), "the campaign injected nothing"
