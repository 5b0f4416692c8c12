"""What a search may ask for is up to the operator, wherever it is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.actions import ceilings
from search.actions.estimate import estimate
from search.actions.submit import prepare
from search.actions.widen import Widening, prepare_retry, prepare_widening
from search.settings import Settings
from search.store import searches
from search.store.database import open_engine
from search.vocabulary.errors import InvalidSpec
from tests.search.actions.test_widen import search_with_a_failed_trial
from tests.search.stored import PLANTED, finished_search

OPERATOR = r"or ask the operator \(SEQNORM_"


def refusals(settings: Settings, fields: dict[str, Any]) -> set[str]:
    """Return what submitting and planning a search are refused with."""
    said = set()
    for action in (prepare, estimate):
        with pytest.raises(InvalidSpec) as caught:
            action(settings, {**PLANTED, **fields})
        said.add(str(caught.value))
    return said


@pytest.mark.parametrize(
    ("fields", "rule", "setting"),
    [
        ({"cpus": 1e-9}, "cpus must be at least 0.1 here: got 1e-09. Ask for more", "MIN_CPUS"),
        ({"cpus": 1024}, "cpus must be at most 256 here: got 1024. Ask for less", "MAX_CPUS"),
        ({"gpus": 64}, "gpus must be at most 16 here: got 64. Ask for less", "MAX_GPUS"),
        ({"memory_gb": 65536}, "memory_gb must be at most 1024 here: got 65536. Ask for less", "MAX_MEMORY_GB"),
        (
            {"trial_timeout": 1e308},
            "trial_timeout must be at most 604800 here: got 1e+308. Ask for less",
            "MAX_TRIAL_SECONDS",
        ),
        (
            {"strategy": "grid", "seeds": 64, "variants": {f"v{i}": {} for i in range(64)}, "gm": [1, 2, 4, 8, 16]},
            "the number of trials must be at most 100 here: got 61449. Ask for less",
            "MAX_TRIALS",
        ),
        (
            {"vary": {"epochs": [1, 100_000]}, "seeds": 1, "test_seeds": 1},
            "epochs × trials must be at most 1000000 here: got 1300000. Ask for less",
            "MAX_TRIAL_EPOCHS",
        ),
        (
            {"variants": {"main": {}, "long": {"epochs": 100_000}}, "seeds": 1, "test_seeds": 1},
            "epochs × trials must be at most 1000000 here: got 1300000. Ask for less",
            "MAX_TRIAL_EPOCHS",
        ),
        (
            {"test_numbers": {"epochs": 100_000}, "numbers": {"epochs": 10}},
            "epochs × trials must be at most 1000000 here: got 1200240. Ask for less",
            "MAX_TRIAL_EPOCHS",
        ),
    ],
)
def test_more_than_a_ceiling_is_refused_with_the_ceiling_and_its_setting(
    settings: Settings, fields: dict[str, Any], rule: str, setting: str
) -> None:
    strict = replace(settings, max_trials=100, max_trial_epochs=10**6)
    assert refusals(strict, fields) == {f"{rule}, or ask the operator (SEQNORM_{setting})."}


def test_more_devices_than_processes_on_a_node_are_refused(settings: Settings) -> None:
    numbers = {"real_devices": 1024, "batch": 2**20}
    assert refusals(settings, {"recipe": "mnist-simplenet", "gm": [1024], "gc": [1], "numbers": numbers}) == {
        "real_devices must be at most 256 here: got 1024. Ask for less, "
        "or ask the operator (SEQNORM_MAX_NODE_PROCESSES)."
    }


CLUSTER = "10.0.0.1:6379"  # whose nodes may be of any size


def test_what_a_ceiling_names_is_allowed(settings: Settings) -> None:
    settings = replace(settings, ray_address=CLUSTER)
    at_most = {"cpus": 256, "gpus": 16, "memory_gb": 1024, "trial_timeout": 604_800}
    assert prepare(settings, {**PLANTED, **at_most}).spec.cpus == 256
    assert prepare(settings, {**PLANTED, "cpus": 0.1}).spec.cpus == 0.1


def test_a_ceiling_of_0_is_none(settings: Settings) -> None:
    none = {name: 0 for name in vars(settings) if name.startswith(("max_", "min_"))}
    limitless = replace(settings, ray_address=CLUSTER, **none)
    assert prepare(limitless, {**PLANTED, "cpus": 1024, "memory_gb": 65536, "trial_timeout": 1e300}).spec.cpus == 1024


HOST = {"CPU": 4, "GPU": 0, "memory": 8e9}


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceilings, "read_capacity", lambda: HOST)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"cpus": 5}, "got 5 CPU, and the host has 4 CPU, 0 GPU."),
        ({"gpus": 1}, "got 1 CPU, 1 GPU, and the host has 4 CPU, 0 GPU."),
        ({"gpus": 0.5, "cpus": 2}, "got 2 CPU, 0.5 GPU, and the host has 4 CPU, 0 GPU."),
        ({"memory_gb": 9}, "got 1 CPU, 9 GB, and the host has 4 CPU, 0 GPU, 8 GB."),
    ],
)
def test_what_the_private_ray_of_this_host_can_never_run_is_refused_with_what_there_is(
    host: None, settings: Settings, fields: dict[str, Any], said: str
) -> None:
    (refusal,) = refusals(settings, fields)
    assert refusal == (
        f"a trial must fit on this host: {said} Ask for less, or name the cluster of the worker (SEQNORM_RAY_ADDRESS)."
    )
    assert not settings.home.exists()


@pytest.mark.parametrize(
    "elsewhere", [{"ray_address": CLUSTER}, {"worker": 0}, {"db": "postgresql://teams.example/seqnorm"}]
)
def test_what_may_run_elsewhere_is_for_the_driver_to_refuse(
    host: None, settings: Settings, elsewhere: dict[str, Any]
) -> None:
    assert prepare(replace(settings, **elsewhere), {**PLANTED, "gpus": 8}).spec.gpus == 8


def test_what_just_fits_on_this_host_is_allowed(host: None, settings: Settings) -> None:
    assert prepare(settings, {**PLANTED, "cpus": 4, "memory_gb": 8}).spec.cpus == 4


@pytest.mark.parametrize("gpus", [1e-9, 0.0099])
def test_a_share_of_a_gpu_that_ray_cannot_count_is_refused(settings: Settings, gpus: float) -> None:
    assert refusals(settings, {"gpus": gpus}) == {
        f"a trial's share of a GPU must be at least 0.01: got gpus={gpus:g}. Give more."
    }


def test_a_child_may_ask_for_no_more_than_its_parent(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/children.db"
    parent = finished_search(url, gm=[1, 2], gc=[1, 2], seeds=1, test_seeds=1)
    with open_engine(url).connect() as connection:
        found = searches.get(connection, parent)
    settings = Settings(home=tmp_path, max_trials=found.planned)
    with pytest.raises(InvalidSpec, match=rf"^the number of trials must be at most {found.planned} here.*{OPERATOR}"):
        prepare_widening(settings, found, Widening(seeds=2))


def test_a_retry_keeps_to_ceilings_that_were_lowered_since(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/retries.db"
    search_id = search_with_a_failed_trial(url, decided=False, gm=[1, 2], gc=[1], seeds=1, cpus=4)
    with (
        open_engine(url).connect() as connection,
        pytest.raises(InvalidSpec, match=rf"^cpus must be at most 2 here: got 4\. Ask for less, {OPERATOR}MAX_CPUS"),
    ):
        prepare_retry(Settings(home=tmp_path, max_cpus=2), connection, search_id)


@pytest.mark.parametrize(("asked", "ceiling", "seconds"), [(None, 9.0, 9.0), (5.0, 9.0, 5.0), (None, 0.0, None)])
def test_a_trial_without_a_limit_of_its_own_has_the_operators(
    asked: float | None, ceiling: float, seconds: float | None
) -> None:
    assert Settings(max_trial_seconds=ceiling).trial_seconds(asked) == seconds


@pytest.mark.parametrize(("most", "processes", "trials"), [(256, 1, 256), (256, 8, 32), (4, 8, 1), (0, 8, None)])
def test_trials_of_several_processes_share_the_room_on_a_node(most: int, processes: int, trials: int | None) -> None:
    assert Settings(max_node_processes=most).trials_on_node(processes) == trials
