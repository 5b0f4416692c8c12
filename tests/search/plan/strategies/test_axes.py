"""Sweeps over axes: what they try on top of a point."""

from __future__ import annotations

from dataclasses import replace

import pytest

from search.plan.selection import Point
from search.plan.strategies import STRATEGIES, Axis, Sweep
from tests.search.plan.strategies.axes import GC, GM

BASE = Point("main", 4, 0)


def sweep(*axes: Axis) -> Sweep:
    return Sweep(stage="any", axes=axes, rule="best-mean")


def test_one_axis_is_tried_with_all_else_as_it_was() -> None:
    assert sweep(GC).points([BASE]) == (Point("main", 4, 1), Point("main", 4, 8))


def test_several_axes_are_tried_in_every_combination_the_last_one_first() -> None:
    assert sweep(GM, GC).points([BASE]) == tuple(Point("main", gm, gc) for gm in GM.values for gc in GC.values)


def test_every_point_that_there_is_is_built_upon() -> None:
    bases = [Point("a", 1, 0), Point("b", 1, 0)]
    assert [point.variant for point in sweep(GC).points(bases)] == ["a", "a", "b", "b"]


@pytest.mark.parametrize("axes", [(GM,), (GC,), (GM, GC)])
def test_a_size_is_how_many_points_there_are_on_top_of_one(axes: tuple[Axis, ...]) -> None:
    assert sweep(*axes).num_points == len(sweep(*axes).points([BASE]))


def test_several_axes_together_tune_the_point() -> None:
    assert [sweep(*axes).axis for axes in ((GM,), (GC,), (GM, GC))] == ["gm", "gc", "point"]


def test_no_group_at_all_is_no_point() -> None:
    both = sweep(replace(GM, values=(0, 1, 2)), replace(GC, values=(0, 1, 4)))
    groups = [(point.gm, point.gc) for point in both.points([Point("main", 1, 0)])]
    assert groups == [(0, 1), (0, 4), (1, 0), (1, 1), (1, 4), (2, 0), (2, 1), (2, 4)]
    assert (both.num_points, both.num_norms) == (8, 3)


def test_gm_0_on_top_of_groups_of_channels_is_a_kind_of_its_own() -> None:
    alone = sweep(replace(GM, values=(0, 1)))
    assert alone.points([Point("main", 1, 8)]) == (Point("main", 0, 8), Point("main", 1, 8))
    assert (alone.num_points, alone.num_norms) == (2, 2)


@pytest.mark.parametrize(("values", "kinds"), [((0,), 1), ((1, 8), 1), ((0, 1, 8), 2)])
def test_a_sweep_with_and_without_a_groupnorm_half_has_two_kinds(values: tuple[int, ...], kinds: int) -> None:
    assert sweep(GM, replace(GC, values=values)).num_norms == kinds
    assert sweep(GM).num_norms == 1


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_tunes_every_axis_in_stages_of_different_names(name: str) -> None:
    strategy = STRATEGIES[name]
    sweeps = strategy.make_sweeps((GM, GC))
    assert {axis for each in sweeps for axis in each.axes} == {GM, GC}
    assert len({each.stage for each in sweeps}) == len(sweeps)
    assert "test" not in {each.stage for each in sweeps}
    assert strategy.name == name
    assert strategy.summary
