"""The grid of gm × gc as a heat map."""

from __future__ import annotations

from typing import Any

from search.views import CandidateView
from service.charts import heat_map


def candidate(gm: int, gc: int, mean: float | None, **more: Any) -> CandidateView:
    """Return a candidate of three seeds."""
    figures = {"variant": "main", "std": 0.01, "sem": 0.001, "n": 3, "failed": 0}
    return CandidateView.model_validate({"gm": gm, "gc": gc, "mean": mean} | figures | more)


GRID = [
    candidate(16, 0, 0.7),
    candidate(2, 4, 0.9, chosen=True),
    candidate(2, 0, 0.8),
    candidate(16, 4, None, failed=3),
    candidate(4, 1, 0.6),
    candidate(2, 0, 0.1, variant="other"),
]


def test_a_heat_map_has_the_mean_of_each_pair_in_the_order_of_their_numbers() -> None:
    (map_,) = heat_map(GRID, "main", "accuracy").data
    assert (map_["x"], map_["y"]) == (["2", "4", "16"], ["0", "1", "4"])
    assert map_["z"] == [[0.8, None, 0.7], [None, 0.6, None], [0.9, None, None]]


def test_what_failed_is_told_apart_from_what_was_not_tried() -> None:
    (map_,) = heat_map(GRID, "main", "accuracy").data
    assert map_["text"] == [["0.8000", "", "0.7000"], ["", "0.6000", ""], ["0.9000", "", "failed"]]


def test_a_cell_says_how_many_of_its_replicates_failed_and_its_hover_what_its_mean_rests_on() -> None:
    (map_,) = heat_map([candidate(2, 0, 0.8, n=2, failed=1)], "main", "accuracy").data
    assert map_["text"] == [["0.8000<br>1 failed"]]
    assert map_["customdata"] == [["0.8000 (n=2, standard error 0.0010, 1 failed)"]]


def test_the_choice_is_framed_on_the_map_of_its_variant_alone() -> None:
    (frame,) = heat_map(GRID, "main", "accuracy").layout["shapes"]
    assert (frame["x0"], frame["x1"], frame["y0"], frame["y1"]) == (-0.5, 0.5, 1.5, 2.5)
    other = heat_map(GRID, "other", "accuracy")
    assert other.data[0]["z"] == [[0.1]]
    assert "shapes" not in other.layout


def test_the_best_cells_are_the_brightest_whatever_is_better() -> None:
    assert not heat_map(GRID, "main", "accuracy").data[0]["reversescale"]
    assert heat_map(GRID, "main", "loss", "min").data[0]["reversescale"]
