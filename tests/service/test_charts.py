"""What is in a figure, as Plotly JSON."""

from __future__ import annotations

import re
from itertools import pairwise
from statistics import median
from typing import Any

import pytest
from plotly.offline import get_plotlyjs_version

from search.store.candidates import quartiles
from service.charts import compare_chart, compare_test_chart, parallel_chart, stage_chart, timeline_chart, trial_chart
from service.charts.candidates import MAX_CANDIDATES, MAX_DOTS
from service.charts.parallel import MAX_LINES
from service.library import SCRIPT

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
    shown, dots = stage(8)
    values = [dot["value"] for dot in dots if dot["gm"] == 1]
    rows = [{"variant": "main", "gm": gm, "gc": 0, "quartiles": quartiles(values)} for gm in (1, 2)]
    drawn = traces(stage_chart(shown, rows, "max", "accuracy"))
    assert "each seed" not in drawn
    boxes = drawn["quartiles over the seeds"]
    assert boxes["median"] == pytest.approx([median(values)] * 2)
    assert boxes["lowerfence"] == [min(values)] * 2
    assert boxes["upperfence"] == [max(values)] * 2
    assert boxes["lowerfence"][0] < boxes["q1"][0] < boxes["median"][0] < boxes["q3"][0] < boxes["upperfence"][0]


def test_of_more_candidates_than_a_figure_holds_the_best_and_the_choice_are_drawn() -> None:
    shown, _ = stage(1)
    like, count = shown["candidates"][0], MAX_CANDIDATES + 50
    shown["candidates"] = [{**like, "gm": gm, "mean": gm / count, "chosen": gm == 3} for gm in range(1, count + 1)]
    drawn = stage_chart(shown, [], "max", "accuracy")
    names = [said for said, *_ in traces(drawn)["mean ± std"]["customdata"]]
    assert len(names) == MAX_CANDIDATES
    assert names[0] == "gm=3"
    assert names[1:] == [f"gm={gm}" for gm in range(52, count + 1)]
    assert "50 more" in drawn["layout"]["xaxis"]["title"]["text"]


@pytest.mark.parametrize(("epochs", "drawn"), [(2, 2), (300, 300), (301, 151), (10_000, 295)])
def test_of_very_many_epochs_a_trial_shows_as_many_as_a_line_can_with_the_last(epochs: int, drawn: int) -> None:
    figures = [{"epoch": epoch, "validation_accuracy": epoch / epochs} for epoch in range(1, epochs + 1)]
    (line,) = trial_chart(figures, "accuracy")["data"]
    assert (len(line["x"]), line["x"][-1], line["y"][-1]) == (drawn, epochs, 1.0)
    assert len({after - before for before, after in pairwise(line["x"])}) == 1, "evenly"


def test_the_script_in_browsers_is_of_the_plotly_that_makes_the_figures() -> None:
    (major,) = re.findall(r"plotly\.js \(cartesian - minified\) v(\d+)\.", SCRIPT.read_text()[:200])
    assert major == get_plotlyjs_version().split(".")[0]


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


def test_of_more_trials_than_lines_the_newest_are_drawn_and_that_is_said() -> None:
    dots = [{"stage": "gm", "variant": "main", "gm": 1, "gc": 0, "seed": n, "value": 0.9} for n in range(MAX_LINES + 9)]
    drawn = parallel_chart(dots, "max", "accuracy")
    said = [words for trace in drawn["data"] for words in trace["customdata"] if words]
    assert {int(re.findall(r"seed (\d+)", words)[0]) for words in said} == set(range(9, MAX_LINES + 9))
    assert drawn["layout"]["xaxis"]["title"]["text"] == "the newest 500 trials"
    written = [note["text"] for note in drawn["layout"]["annotations"] if note["text"].startswith("seed=")]
    assert len(written) <= 12, "more values at an axis run into one another"
    few = parallel_chart(dots[:12], "max", "accuracy")
    assert few["layout"]["xaxis"]["title"]["text"] == ""
    assert len([note for note in few["layout"]["annotations"] if note["text"].startswith("seed=")]) == 12


def test_searches_are_drawn_over_one_another_by_point_and_by_part() -> None:
    row = {"gm": 2, "gc": 0, "mean": 0.9, "std": None, "n": 1, "labels": ["chosen GhostNorm"]}
    search = {"name": "", "mode": "max", "metric": "accuracy", "test": [row], "stages": [{"candidates": [row]}]}
    both = [{**search, "search": "one"}, {**search, "search": "two"}]
    assert [(trace["name"], trace["x"]) for trace in compare_chart(both)["data"]] == [
        ("one", ["gm=2, gc=0"]),
        ("two", ["gm=2, gc=0"]),
    ]
    assert [trace["x"] for trace in compare_test_chart(both)["data"]] == [["chosen GhostNorm"]] * 2
