"""What a spec means in stages, points and replicates."""

import re
from dataclasses import replace
from typing import Any

import pytest

from search.plan import stages as planning
from search.plan.rounds import Decision
from search.plan.selection import Candidate, Point, choose
from search.plan.spec import SearchSpec
from search.plan.stages import (
    UNNORMALIZED,
    Plan,
    Replicate,
    count_groups,
    list_finalists,
    make_plan,
    select_finalists,
)
from trainers.commands.command import Command, CommandNumber
from trainers.commands.recipe import make_recipe
from trainers.recipe import Numbers, find

FIELDS: dict[str, Any] = {"recipe": "digits-mlp", "gm": [1, 2, 4], "gc": [1, 8], "seeds": [0, 1], "test_seeds": 2}

VARIANTS: dict[str, Any] = {"main": {}, "strong": {}}


def plan(**changes) -> Plan:
    return make_plan(SearchSpec(**{**FIELDS, **changes}), find("digits-mlp"))


def main(gm: int, gc: int) -> Point:
    return Point("main", gm, gc)


# Stages


def test_a_sequential_search_has_stages_gm_gc_and_test():
    assert plan().stage_names == ("gm", "gc", "test")
    assert plan(strategy="grid").stage_names == ("grid", "test")


@pytest.mark.parametrize("changes", [{}, {"strategy": "grid"}, {"vary": {"learning_rate": [1]}, "rounds": 5}])
def test_every_stage_has_a_name_that_routes_and_columns_take(changes):
    for name in plan(**changes).stage_names:
        assert re.match(planning.STAGE_NAME, name)
        assert len(name) < planning.MAX_STAGE_NAME


def test_a_plan_keeps_the_stages_it_was_made_with():
    swapped = replace(plan(), sweeps=plan().sweeps[::-1])
    assert swapped.stage_names == ("gc", "gm", "test")
    assert swapped.build_stage("gc", []).points == (main(1, 1), main(1, 8))
    assert swapped.build_stage("gm", [main(1, 8)]).points == (main(1, 8), main(2, 8), main(4, 8))


def test_stage_gm_sweeps_gm_without_a_groupnorm_half():
    stage = plan(tolerance=0.01).build_stage("gm", [])
    assert stage.points == (main(1, 0), main(2, 0), main(4, 0))
    assert (stage.axis, stage.rule, stage.tolerance, stage.reference) == ("gm", "largest-stable", 0.01, None)
    assert (stage.seeds, stage.measure) == ((0, 1), "validation")


def test_stage_gc_sweeps_gc_with_the_gm_and_the_variant_that_won():
    won = Point("strong", 4, 0)
    stage = plan(variants={"main": {}, "strong": {}}).build_stage("gc", [won])
    assert stage.points == (Point("strong", 4, 1), Point("strong", 4, 8))
    assert (stage.axis, stage.rule, stage.reference, stage.measure) == ("gc", "best-mean", won, "validation")
    assert stage.reference_among == len(plan().build_stage("gm", []).points)


def test_each_stage_takes_its_own_rule():
    changed = plan(gm_rule="best-mean", gc_rule="largest-stable")
    assert changed.build_stage("gm", []).rule == "best-mean"
    assert changed.build_stage("gc", [main(4, 0)]).rule == "largest-stable"
    assert plan(strategy="grid", gc_rule="largest-stable").build_stage("grid", []).rule == "largest-stable"


def test_stage_grid_sweeps_every_pair():
    stage = plan(strategy="grid", gm=[1, 2], gc=[0, 8]).build_stage("grid", [])
    assert stage.points == (main(1, 0), main(1, 8), main(2, 0), main(2, 8))
    assert (stage.axis, stage.rule, stage.reference) == ("point", "best-mean", None)


def test_variants_are_an_axis_with_a_stage_of_its_own():
    stage = plan(gm=[1, 2], variants=VARIANTS).build_stage("gm", [])
    assert stage.points == (main(1, 0), main(2, 0))
    third = plan(variants=VARIANTS).build_stage("variant", [main(4, 8)])
    assert (third.points, third.axis) == ((main(4, 8), Point("strong", 4, 8)), "variant")
    assert len(plan(strategy="grid", gm=[1, 2], variants=VARIANTS).build_stage("grid", []).points) == 2 * 2 * 2


@pytest.mark.parametrize(("strategy", "first"), [("sequential", "gm"), ("grid", "grid")])
def test_a_search_stored_without_an_axis_of_variants_begins_with_each_of_them(strategy, first):
    stored = replace(plan(strategy=strategy, variants=VARIANTS), sweeps=plan(strategy=strategy).sweeps)
    points = stored.build_stage(first, []).points
    assert points[: len(points) // 2] == tuple(replace(point, variant="main") for point in points[len(points) // 2 :])
    assert points[-1].variant == "strong"
    assert stored.count_trials()[first] == len(points) * 2


# Further axes

VARIED: dict[str, Any] = {"vary": {"learning_rate": [0.05, 0.2], "nesterov": [True]}}


def test_every_point_names_the_value_of_every_further_axis_before_it_is_tuned():
    assert {point.variant for point in plan(**VARIED).build_stage("gm", []).points} == {
        "learning_rate=0.2, nesterov=false"  # the recipe's own numbers
    }


def test_the_stage_of_a_further_axis_starts_from_the_last_winner():
    won = Point("learning_rate=0.2, nesterov=false", 4, 8)
    stage = plan(**VARIED).build_stage("learning_rate", [won])
    assert stage.points == (replace(won, variant="learning_rate=0.05, nesterov=false"), won)
    assert (stage.axis, stage.rule, stage.reference) == ("learning_rate", "best-mean", None)


def test_the_last_winner_is_the_reference_of_a_stage_that_does_not_try_it():
    won = Point("learning_rate=0.2, nesterov=false", 4, 8)
    assert plan(**VARIED).build_stage("nesterov", [won]).reference == won


def test_an_order_is_that_of_the_stages():
    ordered = plan(**VARIED, order=["learning_rate", "gc", "nesterov", "gm"])
    assert ordered.stage_names == ("learning_rate", "gc", "nesterov", "gm", "test")
    assert ordered.build_stage("learning_rate", []).points == (
        Point("learning_rate=0.05, nesterov=false", 1, 0),
        Point("learning_rate=0.2, nesterov=false", 1, 0),
    )


def test_a_grid_is_the_product_of_all_axes_and_chooses_by_the_rule_of_gc():
    stage = plan(**VARIED, strategy="grid", gm=[1], gc_rule="largest-stable").build_stage("grid", [])
    assert stage.points == (
        Point("learning_rate=0.05, nesterov=true", 1, 1),
        Point("learning_rate=0.2, nesterov=true", 1, 1),
        Point("learning_rate=0.05, nesterov=true", 1, 8),
        Point("learning_rate=0.2, nesterov=true", 1, 8),
    )
    assert (stage.axis, stage.rule) == ("point", "largest-stable")


def test_baselines_have_the_recipes_own_numbers():
    assert plan(**VARIED).baselines().points == (Point("learning_rate=0.2, nesterov=false", 1, 0), UNNORMALIZED)


def test_a_point_has_a_value_on_every_axis():
    values = plan(**VARIED).read_values(Point("learning_rate=0.05, nesterov=true", 4, 8))
    assert values == {"gm": 4, "gc": 8, "learning_rate": 0.05, "nesterov": True}
    assert plan(**VARIED).read_values(UNNORMALIZED) == {"gm": 0, "gc": 0, "learning_rate": 0.2, "nesterov": False}


# Checks


def test_checks_have_stages_of_their_own_and_a_rule_if_one_is_given():
    checked = plan(rounds=2, check_rule="best-mean")
    assert checked.stage_names == ("gm", "gc", "gm-2", "gc-2", "gm-3", "gc-3", "test")
    stage = checked.build_stage("gm-2", [main(4, 8)])
    assert stage.points == (main(1, 8), main(2, 8), main(4, 8))
    assert (stage.axis, stage.rule, stage.reference) == ("gm", "best-mean", None)
    assert plan(rounds=1).build_stage("gm-2", [main(4, 8)]).rule == "largest-stable"


def test_a_check_says_what_stays_and_what_changes():
    checked, before = plan(rounds=1), [Decision("gm", (main(4, 0),)), Decision("gc", (main(4, 8),))]
    assert checked.describe_check(before[1], before[:1]) == ""
    assert checked.describe_check(Decision("gm-2", (main(4, 8),)), before) == "Checked at gc=8: gm=4 stays. "
    assert (
        checked.describe_check(Decision("gm-2", (main(2, 8),)), before) == "Checked at gc=8: gm changes from 4 to 2. "
    )


def test_a_plan_counts_what_it_trains_apart_from_what_it_links():
    checked = plan(rounds=1, vary={"learning_rate": [0.05, 0.2]})  # of which 0.2 is the recipe's own
    assert checked.count_replicates() == {
        "gm": 6, "gc": 4, "learning_rate": 4, "gm-2": 6, "gc-2": 4, "learning_rate-2": 4, "test": 8
    }  # fmt: skip
    assert checked.count_trials() == {
        "gm": 6, "gc": 4, "learning_rate": 2, "gm-2": 4, "gc-2": 2, "learning_rate-2": 2, "test": 8
    }  # fmt: skip


def test_what_is_left_is_counted_again_after_every_decision():
    checked = plan(rounds=1)
    decisions = [Decision("gm", (main(4, 0),)), Decision("gc", (main(4, 8),))]
    assert checked.count_replicates(decisions) == {"gm": 6, "gc": 4, "gm-2": 6, "gc-2": 4, "test": 8}
    settled = [*decisions, Decision("gm-2", (main(4, 8),))]
    assert checked.count_replicates(settled) == {"gm": 6, "gc": 4, "gm-2": 6, "test": 8}
    assert [sweep.stage for sweep in checked.list_sweeps(decisions[:1])] == ["gm", "gc"]
    assert [sweep.stage for sweep in checked.list_sweeps(settled)] == ["gm", "gc", "gm-2"]


# What is measured in the end


def test_the_last_choice_is_measured_with_what_the_last_stage_of_ghostnorms_kept():
    decisions = [
        Decision("gm", (main(2, 0), main(4, 0))),
        Decision("gc", (main(4, 8),)),
        Decision("gm-2", (main(2, 8),)),
    ]
    assert list_finalists(decisions) == [main(2, 0), main(4, 0), main(2, 8)]
    assert list_finalists(decisions[:1]) == [main(2, 0), main(4, 0)]
    assert list_finalists([Decision("grid", (main(2, 0), main(4, 8)))]) == [main(2, 0), main(4, 8)]


def test_a_plan_knows_whether_its_recipes_metric_is_to_rise_or_fall():
    spec = SearchSpec(**FIELDS)
    assert make_plan(spec, find("digits-mlp")).mode == "max"
    assert make_plan(spec, replace(find("digits-mlp"), mode="min")).mode == "min"


# Replicates


def test_every_point_is_trained_once_before_any_is_trained_twice():
    stage = plan(gm=[1, 2], seeds=[5, 3]).build_stage("gm", [])
    assert stage.replicates() == [
        Replicate("gm", main(1, 0), 5),
        Replicate("gm", main(2, 0), 5),
        Replicate("gm", main(1, 0), 3),
        Replicate("gm", main(2, 0), 3),
    ]


def test_the_key_of_a_replicate_names_all_that_tells_it_from_others():
    assert Replicate("gc", Point("strong", 4, 8), 1).key == "gc-strong-gm4-gc8-seed1"
    grid = plan(strategy="grid", variants={"a": {}, "b": {}}).build_stage("grid", [])
    assert len({replicate.key for replicate in grid.replicates()}) == 2 * 3 * 2 * 2
    assert Replicate("gc-2", Point("a=0.1, b=x", 4, 8), 1).key == "gc-2-a=0.1,b=x-gm4-gc8-seed1"


# Stage test


def test_stage_test_measures_the_winners_and_the_baselines_with_fresh_seeds():
    stage = plan().build_stage("test", [main(4, 0), main(4, 8)])
    assert stage.points == (main(4, 8), main(4, 0), main(1, 0), UNNORMALIZED)
    assert (stage.seeds, stage.measure) == ((1000, 1001), "test")
    assert (stage.axis, stage.rule) == (None, None)


def test_points_that_coincide_are_measured_once():
    assert plan().build_stage("test", [main(1, 0), main(1, 8)]).points == (main(1, 8), main(1, 0), UNNORMALIZED)


def test_the_batchnorm_of_another_variant_than_the_first_is_no_baseline():
    stage = plan(variants={"a": {}, "b": {}}).build_stage("test", [Point("b", 1, 0)])
    assert stage.points == (Point("b", 1, 0), Point("a", 1, 0), UNNORMALIZED)


def test_the_baselines_are_part_of_stage_test_and_need_no_winner():
    baselines = plan().baselines()
    assert baselines.points == (main(1, 0), UNNORMALIZED)
    whole = plan().build_stage("test", [main(4, 0), main(4, 8)])
    assert set(baselines.replicates()) < set(whole.replicates())
    assert (baselines.name, baselines.measure) == (whole.name, whole.measure)


# Size


def test_a_sequential_search_grows_with_the_sum_of_both_lists():
    assert plan().count_trials() == {"gm": 3 * 2, "gc": 2 * 2, "test": 4 * 2}
    long = plan(gm=[1, 2, 4, 8, 16], gc=[1, 2, 4, 8, 16, 32], seeds=[0]).count_trials()
    assert (long["gm"], long["gc"]) == (5, 6)


def test_a_grid_grows_with_the_product_of_both_lists():
    assert plan(strategy="grid").count_trials() == {"grid": 3 * 2 * 2, "test": 3 * 2}
    assert plan(strategy="grid", gc=[0, 1, 8]).count_trials() == {"grid": 3 * 3 * 2, "test": 4 * 2}
    assert plan(strategy="grid", gm=[0, 1], gc=[0, 1]).count_trials() == {"grid": 3 * 2, "test": 5 * 2}


@pytest.mark.parametrize("variants", [{"main": {}}, {"a": {}, "b": {}, "c": {}}])
@pytest.mark.parametrize("strategy", ["sequential", "grid"])
def test_a_size_is_what_the_stages_hand_out(strategy, variants):
    planned = plan(strategy=strategy, gc=[1, 2, 8], variants=variants)
    winners = [Point("a", 4, 0), Point("a", 4, 8)] if strategy == "sequential" else [Point("a", 4, 8)]
    stages = [planned.build_stage(name, winners) for name in planned.stage_names]
    assert {stage.name: len(stage.replicates()) for stage in stages} == planned.count_replicates()


# Finalists


def measured(gm: int, gc: int, mean: float, failed: int = 0) -> Candidate:
    return Candidate(gm=gm, gc=gc, mean=mean, std=0.001, n=3, failed=failed)


def grid_finalists(candidates: list[Candidate], rule: str = "best-mean", tolerance: float = 0.005) -> list[Point]:
    stage = plan(strategy="grid", gc_rule=rule, tolerance=tolerance).build_stage("grid", [])
    choice = choose(candidates, stage.rule or "best-mean", "point", "max", tolerance)
    found = select_finalists(stage, candidates, choice, "max")
    assert choice.point is None or choice.point in found
    return found


def test_a_sequential_stage_sends_on_its_choice_alone():
    stage = plan().build_stage("gm", [])
    candidates = [measured(1, 0, 0.90), measured(4, 0, 0.95)]
    assert select_finalists(stage, candidates, choose(candidates), "max") == [main(4, 0)]


def test_a_grid_sends_on_the_best_ghostnorm_and_the_best_seqnorm():
    grid = [measured(2, 0, 0.93), measured(4, 0, 0.92), measured(2, 8, 0.94), measured(4, 8, 0.95)]
    assert grid_finalists(grid) == [main(2, 0), main(4, 8)]


def test_a_grid_that_a_ghostnorm_won_sends_on_a_seqnorm_too():
    grid = [measured(2, 0, 0.97), measured(2, 8, 0.94), measured(4, 8, 0.95)]
    assert grid_finalists(grid) == [main(4, 8), main(2, 0)], "its choice last"


def test_stage_test_measures_a_seqnorm_first_whichever_kind_a_grid_chose():
    stage = plan(strategy="grid").build_stage("test", [main(4, 8), main(2, 0)])
    assert stage.points == (main(4, 8), main(2, 0), main(1, 0), UNNORMALIZED)
    assert plan(strategy="grid").build_stage("test", [main(2, 0), main(4, 8)]) == stage


def test_a_grid_of_one_kind_sends_on_one_point():
    assert grid_finalists([measured(2, 8, 0.94), measured(4, 8, 0.95)]) == [main(4, 8)]
    assert grid_finalists([measured(2, 0, 0.94), measured(4, 0, 0.93)]) == [main(2, 0)]


def test_a_grid_sends_on_the_best_of_three_kinds_its_choice_last():
    grid = [
        measured(0, 8, 0.91),
        measured(0, 4, 0.90),
        measured(2, 0, 0.93),
        measured(2, 8, 0.94),
        measured(4, 8, 0.95),
    ]
    assert grid_finalists(grid) == [main(2, 0), main(0, 8), main(4, 8)]
    assert plan(strategy="grid").build_stage("test", grid_finalists(grid)).points == (
        *(main(4, 8), main(2, 0), main(0, 8)),
        *(main(1, 0), UNNORMALIZED),
    )


def test_a_grid_leaves_out_a_kind_that_is_not_stable():
    assert grid_finalists([measured(2, 0, 0.94, failed=1), measured(4, 8, 0.93)]) == [main(4, 8)]


def test_a_grid_always_sends_on_its_choice():
    # gm 16 is within 0.005 of the best of all, gm 32 of the best SeqNorm only
    grid = [measured(8, 0, 0.830), measured(8, 4, 0.828), measured(16, 4, 0.826), measured(32, 4, 0.8235)]
    assert grid_finalists(grid, "largest-stable") == [main(8, 0), main(16, 4)]


def test_a_stage_without_a_choice_sends_on_nothing():
    assert grid_finalists([measured(2, 0, 0.94, failed=1), measured(4, 8, 0.93, failed=2)]) == []


# Words and samples


@pytest.mark.parametrize(
    ("point", "labels"),
    [
        (main(4, 8), ["chosen SeqNorm"]),
        (main(4, 0), ["chosen GhostNorm"]),
        (main(0, 8), ["chosen GroupNorm"]),
        (main(1, 0), ["BatchNorm"]),
        (UNNORMALIZED, ["no normalization"]),
        (main(2, 2), []),
    ],
)
def test_the_points_of_stage_test_are_named_for_the_part_they_play(point, labels):
    assert plan().label(point, [main(4, 0), main(0, 8), main(4, 8)]) == labels


def test_the_ghostnorm_with_the_best_mean_is_told_from_the_one_that_is_built_on():
    winners = [main(2, 0), main(4, 0), main(4, 8)]
    assert [plan().label(point, winners) for point in winners] == [
        ["best GhostNorm"],
        ["chosen GhostNorm"],
        ["chosen SeqNorm"],
    ]


def test_a_point_may_play_two_parts():
    assert plan().label(main(1, 0), [main(1, 0), main(1, 8)]) == ["chosen GhostNorm", "BatchNorm"]


NOISY: dict[str, Any] = {"noisy": {"noise": 0.1}, "noisier": {"noise": 0.2, "shared_var": True}}


@pytest.mark.parametrize(
    ("changes", "variant", "label"),
    [
        ({}, "main", "BatchNorm"),
        ({"variants": NOISY}, "main", "BatchNorm"),
        ({"variants": {**NOISY, "plain": {}}}, "plain", "BatchNorm"),
        ({"variants": {"main": {"noise": 0.1}, **NOISY}}, "recipe", "BatchNorm"),
        ({"variants": {"noisy": {"noise": 0.1}}}, "noisy", "BatchNorm with noise=0.1"),
        (
            {"variants": NOISY, "baseline_variant": "noisier"},
            "noisier",
            "BatchNorm with noise=0.2, shared_var=true",
        ),
    ],
)
def test_batchnorm_has_the_recipes_own_numbers_unless_it_says_others(changes, variant, label):
    planned, recipe = plan(**changes), find("digits-mlp")
    assert planned.baselines().points == (Point(variant, 1, 0), UNNORMALIZED)
    assert planned.label(Point(variant, 1, 0), []) == [label]
    assert planned.label(UNNORMALIZED, []) == [label.replace("BatchNorm", "no normalization")]
    noise = planned.spec.resolve_numbers(recipe, variant).noise
    assert noise == planned.spec.resolve_numbers(recipe, "none").noise
    assert str(noise) in label if "with" in label else noise == 0


def test_batchnorm_of_a_search_with_further_axes_names_the_recipes_own_values():
    varied = plan(vary={"learning_rate": [0.1, 0.4], "noise": [0.1]}, order=["noise", "gm", "gc", "learning_rate"])
    own = Point("noise=0, learning_rate=0.2", 1, 0)
    assert varied.baselines().points == (own, UNNORMALIZED)
    assert varied.label(own, []) == ["BatchNorm"]
    assert varied.read_values(UNNORMALIZED) == {"noise": 0.0, "gm": 0, "gc": 0, "learning_rate": 0.2}


def test_parameters_of_baselines_name_their_own_variant():
    noisy = plan(variants=NOISY)
    assert noisy.read_values(noisy.batch_norm)["variant"] == noisy.read_values(UNNORMALIZED)["variant"] == "main"
    assert noisy.read_values(Point("noisier", 4, 0))["variant"] == "noisier"


def test_the_best_ghostnorm_is_told_from_the_one_that_is_built_upon():
    finalists = [main(4, 0), main(8, 0), main(8, 2)]
    labels = [plan().label(point, finalists) for point in finalists]
    assert labels == [["best GhostNorm"], ["chosen GhostNorm"], ["chosen SeqNorm"]]


@pytest.mark.parametrize(
    ("baselines", "points"),
    [
        (["batchnorm"], (main(1, 0),)),
        (["none"], (UNNORMALIZED,)),
        (["none", "batchnorm"], (main(1, 0), UNNORMALIZED)),
        ([], ()),
    ],
)
def test_baselines_are_those_that_were_asked_for(baselines, points):
    planned = plan(baselines=baselines)
    assert planned.baselines().points == points
    assert planned.build_stage("test", [main(4, 0), main(4, 8)]).points == (main(4, 8), main(4, 0), *points)
    assert planned.count_trials()["test"] == (2 + len(points)) * 2


@pytest.mark.parametrize(
    ("devices", "gm", "groups"),
    [
        (1, 1, {"gm_total": 1, "group_size": 512}),
        (1, 8, {"gm_total": 8, "group_size": 64}),
        (8, 1, {"gm_total": 8, "group_size": 64}),
        (8, 16, {"gm_total": 128, "group_size": 4}),
    ],
)
def test_groups_are_counted_over_the_whole_batch(devices, gm, groups):
    assert count_groups(main(gm, 4), Numbers(batch=512, devices=devices)) == groups


@pytest.mark.parametrize("point", [UNNORMALIZED, main(0, 4)], ids=str)
def test_without_gm_there_are_no_groups_of_samples(point):
    assert count_groups(point, Numbers()) == {"gm_total": 0, "group_size": None}


def test_a_command_has_no_baseline_without_normalization():
    command = make_recipe("train.py", Command(words=("python", "train.py"), folder="/"))
    made = make_plan(SearchSpec(**FIELDS), command)
    assert made.baselines().points == (main(1, 0),)
    assert made.count_trials()["test"] == plan().count_trials()["test"] - FIELDS["test_seeds"]


def test_groups_of_a_command_are_counted_if_it_says_its_batch():
    nothing = make_recipe("train.py", Command(words=("python",), folder="/")).with_overrides({})
    batch = Command(words=("python",), folder="/", numbers=(CommandNumber(name="batch", default=64),))
    assert count_groups(main(4, 0), nothing) == {"gm_total": None, "group_size": None}
    assert count_groups(main(4, 0), make_recipe("b", batch).with_overrides({})) == {"gm_total": 4, "group_size": 16}
