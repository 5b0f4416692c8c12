"""Candidates of a stage: mean and spread of each, and the choice."""

from __future__ import annotations

from statistics import median

import pytest

from search.store.candidates import quartiles
from search.views import CandidateView, QuartilesView, SeedView, StageView
from service.charts import stage_chart
from service.charts.candidates import MAX_CANDIDATES, MAX_DOTS
from tests.search.examples import example
from tests.service.charts.traces import traces

POINT = {"variant": "main", "gc": 0}


def stage(seeds: int) -> tuple[StageView, list[SeedView]]:
    candidates = [
        example(CandidateView, **POINT, gm=gm, mean=0.9, std=0.01, n=seeds, failed=0, chosen=gm == 2) for gm in (1, 2)
    ]
    dots = [SeedView(**POINT, gm=gm, seed=seed, value=0.8 + seed / 1e5) for seed in range(seeds) for gm in (1, 2)]
    return example(StageView, name="gm", candidates=candidates, sentence="gm=2 is the largest."), dots


def test_each_seed_is_a_dot_as_long_as_they_can_be_told_apart() -> None:
    drawn = traces(stage_chart(*stage(MAX_DOTS // 2), "max", "accuracy"))
    assert len(drawn["each seed"]["y"]) == MAX_DOTS
    assert "quartiles over the seeds" not in drawn


def test_more_seeds_are_drawn_as_quartiles() -> None:
    shown, dots = stage(8)
    values = [dot.value for dot in dots if dot.gm == 1]
    rows = [QuartilesView(**POINT, gm=gm, quartiles=quartiles(values)) for gm in (1, 2)]
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
