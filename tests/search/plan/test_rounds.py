"""Which stage follows: a pass over all axes, then checks until nothing changes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from search.plan.rounds import Decision, find_next, list_checks
from search.plan.selection import Point
from search.plan.strategies import STRATEGIES, Axis, Sweep

GM = Axis(name="gm", values=(1, 2, 4), rule="largest-stable", start=1)
GC = Axis(name="gc", values=(2, 8), rule="best-mean", start=0)
LR = Axis(name="lr", values=(0.1, 0.2), rule="best-mean", start=0.1)
START = Point("lr=0.1", 1, 0)


def sequence(*axes: Axis) -> tuple[Sweep, ...]:
    return STRATEGIES["sequential"].make_sweeps(axes)


def walk(axes: list[Axis], rounds: int, choose: Any, decided: int = 0) -> list[Decision]:
    """Decide every stage by ``choose(stage, point)``, which returns a value."""
    first_pass = sequence(*axes)
    checks = list_checks(first_pass, rounds, None)
    decisions: list[Decision] = []
    while sweep := find_next(first_pass, checks, decisions):
        base = decisions[-1].base if decisions else START
        axis = sweep.axes[0]
        decisions.append(Decision(sweep.stage, (axis.place(base, choose(sweep.stage, base)),)))
    return decisions


def stages(decisions: list[Decision]) -> list[str]:
    return [decision.stage for decision in decisions]


def settle(stage: str, _: Point) -> Any:
    """Choose the same value whatever the others are."""
    return {"gm": 4, "gc": 8, "lr": 0.2}[stage.partition("-")[0]]


def test_one_pass_is_all_without_rounds() -> None:
    assert stages(walk([GM, GC, LR], 0, settle)) == ["gm", "gc", "lr"]


def test_a_check_ends_as_soon_as_nothing_changes() -> None:
    assert stages(walk([GM, GC], 5, settle)) == ["gm", "gc", "gm-2"]
    assert stages(walk([GM, GC, LR], 5, settle)) == ["gm", "gc", "lr", "gm-2", "gc-2"]


def test_the_axis_tuned_last_is_tuned_again_only_if_another_one_changed_since() -> None:
    changed = {"gm": 4, "gc": 8, "gm-2": 2, "gc-2": 8}
    assert stages(walk([GM, GC], 5, lambda stage, _: changed[stage])) == ["gm", "gc", "gm-2", "gc-2"]


def test_an_axis_that_changed_nothing_since_is_left_out() -> None:
    # lr was tuned first; gc alone changed since gm was tuned, and gm and gc since lr was
    assert stages(walk([LR, GM, GC], 1, settle)) == ["lr", "gm", "gc", "lr-2", "gm-2"]


def test_checks_that_never_settle_end_with_the_last_one() -> None:
    turns = {"gm": (1, 2), "gc": (2, 8)}
    seen: dict[str, int] = {}

    def turn(stage: str, _: Point) -> Any:
        axis = stage.partition("-")[0]
        seen[axis] = seen.get(axis, 0) + 1
        return turns[axis][seen[axis] % 2]

    assert stages(walk([GM, GC], 5, turn))[-2:] == ["gm-6", "gc-6"]


def test_an_axis_of_one_value_and_a_grid_are_not_checked() -> None:
    single = Axis(name="gm", values=(4,), rule="best-mean", start=1)
    assert stages(walk([single, GC], 3, settle)) == ["gm", "gc"]
    assert list_checks(STRATEGIES["grid"].make_sweeps([GM, GC]), 3, None) == []


@given(
    st.permutations([GM, GC, LR]),
    st.integers(0, 5),
    st.dictionaries(st.tuples(st.sampled_from(["gm", "gc", "lr"]), st.integers(1, 6)), st.integers(0, 2)),
)
def test_any_search_ends_and_tunes_no_axis_twice_in_the_same_place(
    axes: list[Axis], rounds: int, picks: dict[tuple[str, int], int]
) -> None:
    by_name = {axis.name: axis for axis in axes}

    def pick(stage: str, _: Point) -> Any:
        name, _, check = stage.partition("-")
        values = by_name[name].values
        return values[picks.get((name, int(check or 1)), 0) % len(values)]

    decisions = walk(axes, rounds, pick)
    assert len(decisions) <= 3 * (rounds + 1)
    assert stages(decisions)[:3] == [axis.name for axis in axes]
    bases = [START, *(decision.base for decision in decisions)]
    tuned = [
        (axis.name, axis.place(base, axis.start))
        for base, stage in zip(bases, stages(decisions), strict=False)
        for axis in [by_name[stage.partition("-")[0]]]
    ]
    for name in by_name:
        places = [place for tuned_name, place in tuned if tuned_name == name]
        assert all(before != after for before, after in pairwise(places))
    for length in range(len(decisions)):  # what follows depends on what was decided alone
        first_pass = sequence(*axes)
        following = find_next(first_pass, list_checks(first_pass, rounds, None), decisions[:length])
        assert following is not None
        assert following.stage == decisions[length].stage
