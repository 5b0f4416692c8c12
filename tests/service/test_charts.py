"""What is in a figure, as Plotly JSON."""

from __future__ import annotations

from statistics import median
from typing import Any

import pytest

from service.charts import compare_chart, compare_test_chart, parallel_chart, stage_chart, timeline_chart
from service.charts.candidates import MAX_DOTS

NOON = 1_800_000_000.0


def stage(seeds: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    point = {"variant": "main", "gc": 0}
    candidates = [
        {
            **point,
            "gm": gm,
            "mean": 0.9,
            "std": 0.01,
            "sem": 0.001,
            "n": seeds,
            "failed": 0,
            "chosen": gm == 2,
            "why": "",
        }
        for gm in (1, 2)
    ]
    dots = [{**point, "gm": gm, "seed": seed, "value": 0.8 + seed / 1e5} for seed in range(seeds) for gm in (1, 2)]
    shown = {"name": "gm", "candidates": candidates, "reference": None, "tolerance": None, "best_mean": None}
    return {**shown, "sentence": "gm=2 is the largest."}, dots


def traces(figure: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {trace["name"]: trace for trace in figure["data"]}


def test_each_seed_is_a_dot_as_long_as_they_can_be_told_apart() -> None:
    drawn = traces(stage_chart(*stage(MAX_DOTS // 2), "max", "accuracy"))
    assert len(drawn["each seed"]["y"]) == MAX_DOTS
    assert "quartiles over the seeds" not in drawn


def test_more_seeds_are_drawn_as_quartiles() -> None:
    shown, dots = stage(MAX_DOTS // 2 + 1)
    drawn = traces(stage_chart(shown, dots, "max", "accuracy"))
    assert "each seed" not in drawn
    boxes, values = drawn["quartiles over the seeds"], [dot["value"] for dot in dots if dot["gm"] == 1]
    assert boxes["median"] == pytest.approx([median(values)] * 2)
    assert boxes["lowerfence"] == [min(values)] * 2
    assert boxes["upperfence"] == [max(values)] * 2
    assert boxes["lowerfence"][0] < boxes["q1"][0] < boxes["median"][0] < boxes["q3"][0] < boxes["upperfence"][0]


def trial(
    number: int, start: float, seconds: float | None, cause: str | None = "finished", **more: Any
) -> dict[str, Any]:
    where = {"attributes": {"where": {"host": "a"}, **more}}
    point = {"stage": "gm", "number": number, "variant": "main", "gm": 1, "gc": 0, "seed": number}
    return {**point, "started_at": NOON + start, "seconds": seconds, "cause": cause, **where}


def test_trials_that_ran_at_once_have_a_row_each_and_rows_are_used_again() -> None:
    trials = [trial(0, 0, 10), trial(1, 5, 10), trial(2, 11, 2, "raised"), trial(3, 20, None, None)]
    drawn = timeline_chart(trials, NOON + 25)
    assert drawn["layout"]["yaxis"]["ticktext"] == ["a · 1", "a · 2"]
    bars = traces(drawn)
    assert bars["gm"]["y"] == [0, 1, 0]
    assert bars["gm"]["x"] == [10_000, 10_000, 5_000]
    assert bars["gm, failed or cut"]["x"] == [2_000]


def test_what_was_reused_ran_elsewhere() -> None:
    drawn = timeline_chart([trial(0, 0, 10), trial(1, 1, 10, reused_from="parent/gm/1")], NOON)
    assert [trace["x"] for trace in drawn["data"]] == [[10_000]]
    assert timeline_chart([], NOON)["data"] == []


def test_a_line_of_a_trial_goes_through_its_parameters_and_the_best_are_told_apart() -> None:
    dots = [{**dot, "stage": "gm"} for dot in stage(5)[1]]
    drawn = traces(parallel_chart(dots, "max", "accuracy"))
    best, lowest = drawn["best fifth"], drawn["lowest fifth"]
    assert len([y for y in best["y"] if y is None]) == len(dots) // 5
    assert min(y for y in best["y"][3::5]) > max(y for y in lowest["y"][3::5])
    assert max(y for y in traces(parallel_chart(dots, "min", "loss"))["best fifth"]["y"][3::5]) < 0.1


def test_searches_are_drawn_over_one_another_by_point_and_by_part() -> None:
    row = {"gm": 2, "gc": 0, "mean": 0.9, "std": None, "n": 1, "labels": ["chosen GhostNorm"]}
    search = {"name": "", "mode": "max", "metric": "accuracy", "test": [row], "stages": [{"candidates": [row]}]}
    both = [{**search, "search": "one"}, {**search, "search": "two"}]
    assert [(trace["name"], trace["x"]) for trace in compare_chart(both)["data"]] == [
        ("one", ["gm=2, gc=0"]),
        ("two", ["gm=2, gc=0"]),
    ]
    assert [trace["x"] for trace in compare_test_chart(both)["data"]] == [["chosen GhostNorm"]] * 2
