"""How many trials fit on a cluster."""

from __future__ import annotations

from typing import Any

import pytest

from search.engine.resources import InsufficientResources, TrialResources


@pytest.mark.parametrize(
    ("needs", "free", "fitting"),
    [
        ({"cpus": 2}, {"CPU": 7.0}, 3),
        ({"cpus": 0.1}, {"CPU": 1.0}, 10),
        ({"cpus": 0.125}, {"CPU": 2.0}, 16),
        ({"cpus": 1, "gpus": 0.3}, {"CPU": 16.0, "GPU": 0.9}, 3),
        ({"cpus": 1, "gpus": 1}, {"CPU": 16.0}, 0),
        ({"cpus": 1, "memory_bytes": 2 * 10**9}, {"CPU": 16.0, "memory": 5e9}, 2),
    ],
)
def test_as_many_trials_fit_as_ray_places(needs: dict[str, Any], free: dict[str, float], fitting: int) -> None:
    assert TrialResources(**needs).count_fitting(free) == fitting


def test_a_trial_fits_on_one_node_or_not_at_all() -> None:
    assert TrialResources(cpus=2).count_slots([{"CPU": 3.0}, {"CPU": 3.0}]) == 2
    with pytest.raises(InsufficientResources) as refused:
        TrialResources(cpus=4, gpus=0.5, memory_bytes=2 * 10**9).count_slots(
            [{"CPU": 3.0, "GPU": 1.0, "memory": 5.5e9}, {"CPU": 3.0}]
        )
    assert str(refused.value) == (
        "a trial must fit on one node: got 4 CPU, 0.5 GPU, 2 GB, and the cluster has 2 nodes with 3 CPU, 1 GPU, "
        "5.5 GB; 3 CPU, 0 GPU, 0 GB. Ask for less, or add a node."
    )


def test_a_cap_on_concurrency_bounds_the_slots() -> None:
    assert TrialResources(cpus=1, concurrency=3).count_slots([{"CPU": 8.0}]) == 3
    assert TrialResources(cpus=1, concurrency=9).count_slots([{"CPU": 8.0}]) == 8


@pytest.mark.parametrize(("most", "slots"), [(None, 11), (100, 11), (3, 6), (1, 2)])
def test_no_node_is_counted_for_more_trials_than_the_operator_allows_on_one(most: int | None, slots: int) -> None:
    assert TrialResources(cpus=1, most_on_node=most).count_slots([{"CPU": 8.0}, {"CPU": 3.0}]) == slots


@pytest.mark.parametrize(
    ("searches", "concurrency", "slots"), [(1, None, 8), (2, None, 4), (3, None, 2), (9, None, 1), (2, 3, 3), (2, 6, 4)]
)
def test_searches_that_share_a_cluster_get_equal_shares_of_its_slots_and_at_least_one(
    searches: int, concurrency: int | None, slots: int
) -> None:
    resources = TrialResources(cpus=1, concurrency=concurrency, searches_at_once=searches)
    assert resources.count_slots([{"CPU": 5.0}, {"CPU": 3.0}]) == slots


def test_ray_reserves_what_a_trial_takes_up() -> None:
    assert TrialResources(cpus=2).to_ray_resources() == {"cpu": 2, "gpu": 0}
    assert TrialResources(cpus=0.5, gpus=1, memory_bytes=10**9).to_ray_resources() == {
        "cpu": 0.5,
        "gpu": 1,
        "memory": 10**9,
    }
