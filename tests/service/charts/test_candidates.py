"""Candidates of a stage: mean and spread of each, and the choice."""

from __future__ import annotations

from statistics import median

import pytest

from search.store.candidates import compute_quartiles
from search.views import CandidateView, MeasuredView, QuartilesView, SeedView, StageView
from service import charts
from service.charts import best_candidates, stage_chart
from service.charts.candidates import MAX_CANDIDATES, MAX_DOTS
from tests.search.examples import example
from tests.service.charts.traces import traces

POINT = {"variant": "main", "gc": 0}


def stage(seeds: int) -> tuple[StageView, list[SeedView]]:
    candidates = [
        example(CandidateView, **POINT, gm=gm, mean=0.9, std=0.01, n=seeds, failed=0, chosen=gm == 2) for gm in (1, 2)
    ]
    dots = [SeedView(**POINT, gm=gm, seed=seed, value=0.8 + seed / 1e5) for seed in range(seeds) for gm in (1, 2)]
    return example(StageView, name="gm", axes=("gm",), candidates=candidates, sentence="gm=2 is the largest."), dots


def test_each_seed_is_a_dot_as_long_as_they_can_be_told_apart() -> None:
    drawn = traces(stage_chart(*stage(MAX_DOTS // 2), "max", "accuracy"))
    assert len(drawn["each seed"]["y"]) == MAX_DOTS
    assert "quartiles over the seeds" not in drawn


def test_more_seeds_are_drawn_as_quartiles() -> None:
    shown, dots = stage(8)
    values = [dot.value for dot in dots if dot.gm == 1]
    rows = [QuartilesView(**POINT, gm=gm, quartiles=compute_quartiles(values)) for gm in (1, 2)]
    drawn = traces(stage_chart(shown, rows, "max", "accuracy"))
    assert "each seed" not in drawn
    boxes = drawn["quartiles over the seeds"]
    assert boxes["median"] == pytest.approx([median(values)] * 2)
    assert boxes["lowerfence"] == [min(values)] * 2
    assert boxes["upperfence"] == [max(values)] * 2
    assert boxes["lowerfence"][0] < boxes["q1"][0] < boxes["median"][0] < boxes["q3"][0] < boxes["upperfence"][0]


def test_of_more_candidates_than_a_figure_holds_the_best_and_the_choice_are_drawn() -> None:
    shown, _ = stage(1)
    like, count = shown.candidates[0], MAX_CANDIDATES + 50
    many = [like.model_copy(update={"gm": gm, "mean": gm / count, "chosen": gm == 3}) for gm in range(1, count + 1)]
    drawn = stage_chart(shown.model_copy(update={"candidates": many}), [], "max", "accuracy")
    names = [said for said, *_ in traces(drawn)["mean ± std"]["customdata"]]
    assert len(names) == MAX_CANDIDATES
    assert names[0] == "gm=3"
    assert names[1:] == [f"gm={gm}" for gm in range(52, count + 1)]
    assert "50 more" in drawn.layout["xaxis"]["title"]["text"]


def test_candidates_are_named_by_the_axis_that_their_stage_tunes() -> None:
    def labels(axes: tuple[str, ...], *variants: str) -> list[str]:
        rows = [example(CandidateView, variant=each, gm=2, gc=4, mean=0.9) for each in variants]
        drawn = stage_chart(example(StageView, axes=axes, candidates=rows), [], "max", "accuracy")
        return list(drawn.layout["xaxis"]["ticktext"])

    assert labels(("lr",), "lr=0.1, sigma=2", "lr=0.2, sigma=2") == ["lr=0.1", "lr=0.2"]
    assert labels(("gm", "gc", "lr"), "lr=0.1", "lr=0.2") == ["gm=2, gc=4<br>lr=0.1", "gm=2, gc=4<br>lr=0.2"]
    assert labels(("gm",), "main", "strong") == ["main<br>gm=2", "strong<br>gm=2"], "a search before axes"


def test_the_best_are_the_lowest_where_lower_is_better() -> None:
    means = {1: 0.1, 2: 0.2, 4: 0.4, 8: None}
    rows = [example(CandidateView, **POINT, gm=gm, mean=mean) for gm, mean in means.items()]
    assert [row.gm for row in best_candidates(rows, "min", 2)] == [1, 2]
    assert [row.gm for row in best_candidates(rows, "max", 2)] == [2, 4]
    assert [row.gm for row in best_candidates(rows, "max", 4)] == [1, 2, 4, 8], "all there are, in their order"


def test_the_hover_of_a_candidate_says_what_its_mean_rests_on() -> None:
    shown, dots = stage(4)
    row = shown.candidates[0].model_copy(update={"sem": 0.0005, "failed": 1, "why": "out: 1 of 5 failed"})
    drawn = traces(stage_chart(shown.model_copy(update={"candidates": [row]}), dots, "max", "accuracy"))
    said = ["gm=1", "0.9000 (n=4, standard error 0.0005, 1 failed)", "out: 1 of 5 failed"]
    assert drawn["mean ± std"]["customdata"] == [said]
    assert drawn["each seed"]["customdata"][0] == ["gm=1", "0.8000", 0]


def test_a_decided_stage_shows_the_band_the_choice_and_its_reason() -> None:
    shown = stage(3)[0].model_copy(update={"tolerance": 0.02, "best_mean": 0.91})
    drawn = stage_chart(shown, [], "max", "accuracy")
    chosen = traces(drawn)["chosen"]
    assert (chosen["x"], chosen["y"], chosen["hovertext"]) == ([1], [0.9], "gm=2 is the largest.")
    (band,) = drawn.layout["shapes"]
    assert (band["y0"], band["y1"]) == pytest.approx((0.89, 0.91))
    (band,) = stage_chart(shown, [], "min", "loss").layout["shapes"]
    assert (band["y0"], band["y1"]) == pytest.approx((0.91, 0.93))


def test_the_test_stage_names_points_by_the_parts_that_they_play() -> None:
    row = example(MeasuredView, variant="main", gm=8, gc=4, mean=0.9, labels=("chosen SeqNorm", "best"))
    seeds = [SeedView(variant="main", gm=8, gc=4, seed=1000, value=0.9), *stage(1)[1]]
    drawn = charts.test_chart([row], seeds, "accuracy")
    assert drawn.layout["xaxis"]["ticktext"] == ["chosen SeqNorm<br>best"]
    assert traces(drawn)["each seed"]["y"] == [0.9], "a seed is left out until its point is measured"
