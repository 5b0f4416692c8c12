"""Learning curves: a line for each point, its seeds as a band."""

from __future__ import annotations

from typing import Any

import pytest

from search.views import CurveView
from service.charts import curves_chart


def curve(gm: int, **more: Any) -> CurveView:
    """Return a curve of two epochs and three seeds."""
    figures = {"epoch": (1, 2), "mean": (0.5, 0.6), "low": (0.4, 0.5), "high": (0.7, 0.8), "n": (3, 3)}
    return CurveView.model_validate({"variant": "main", "gm": gm, "gc": 0} | figures | more)


def test_a_point_is_a_line_of_its_means_over_a_band_of_its_seeds() -> None:
    figure = curves_chart([curve(4)], "accuracy")
    band, line = figure.data
    assert (line["name"], line["x"], line["y"]) == ("gm=4, gc=0", [1, 2], [0.5, 0.6])
    assert (band["x"], band["y"], band["fill"]) == ([1, 2, 2, 1], [0.7, 0.8, 0.5, 0.4], "toself")
    assert line["customdata"][1] == "mean 0.6000<br>from 0.5000 to 0.8000, n=3"
    assert band["legendgroup"] == line["legendgroup"], "one click hides both"
    assert figure.layout["yaxis"]["title"]["text"] == "validation accuracy"


def test_points_are_in_the_order_of_their_numbers_and_told_apart_by_colour() -> None:
    lines = curves_chart([curve(16), curve(2)], "accuracy").data[1::2]
    assert [line["name"] for line in lines] == ["gm=2, gc=0", "gm=16, gc=0"]
    assert len({line["line"]["color"] for line in lines}) == 2


@pytest.mark.parametrize(
    ("variants", "names"),
    [
        (("lr=0.1, sigma=1", "lr=0.02, sigma=1"), ["gm=2, gc=0, lr=0.02", "gm=2, gc=0, lr=0.1"]),
        (("strong", "main"), ["gm=2, gc=0, variant=main", "gm=2, gc=0, variant=strong"]),
        (("lr=0.1",), ["gm=2, gc=0"]),
    ],
)
def test_a_point_is_named_by_the_values_that_differ(variants: tuple[str, ...], names: list[str]) -> None:
    lines = curves_chart([curve(2, variant=variant) for variant in variants], "accuracy").data[1::2]
    assert [line["name"] for line in lines] == names


def test_so_few_epochs_that_a_line_would_not_show_are_marked() -> None:
    three = {"epoch": (1, 2, 3), "mean": (0.5, 0.6, 0.7), "low": (0.4,) * 3, "high": (0.8,) * 3, "n": (3,) * 3}
    assert curves_chart([curve(2)], "accuracy").data[1]["mode"] == "lines+markers"
    assert curves_chart([curve(2, **three)], "accuracy").data[1]["mode"] == "lines"
