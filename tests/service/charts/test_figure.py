"""What every figure shares."""

from __future__ import annotations

from itertools import islice

import plotly.graph_objects as go

from service.charts.figure import SERIES, colors, to_figure, with_opacity


def test_a_figure_is_json_laid_out_as_all_are_but_for_what_is_said() -> None:
    figure = to_figure(
        go.Figure(go.Scatter(x=[1, 2], y=[0.5, float("nan")])),
        "accuracy",
        xaxis={"title": {"text": "epoch"}},
        yaxis={"range": [0, 1]},
        height=500,
    )
    assert figure.data == [{"type": "scatter", "x": [1, 2], "y": [0.5, None]}], "JSON has no number that is not finite"
    assert figure.layout["xaxis"]["title"]["text"] == "epoch"
    assert (figure.layout["yaxis"]["title"]["text"], figure.layout["yaxis"]["range"]) == ("accuracy", [0, 1])
    assert (figure.layout["height"], figure.layout["paper_bgcolor"]) == (500, "rgba(0,0,0,0)")


def test_colours_go_round() -> None:
    assert list(islice(colors(), len(SERIES) + 1)) == [*SERIES, SERIES[0]]


def test_a_faded_colour_lets_the_ground_through() -> None:
    assert with_opacity("#5b8dd6", 0.15) == "rgba(91,141,214,0.15)"
