"""The figures of a loss landscape. What the command draws is in test_landscape.py."""

from __future__ import annotations

import pytest

from search.landscape.figures import COLORS, Measured, comparison, gradients, point_color, updates


def measured(*gms: int) -> Measured:
    return {
        gm: {
            "lowest": [1.0, 0.5],
            "highest": [2.0, 1.0 + gm],
            "test_errors": [0.5],
            "predictiveness": [3.0, 1.0],
            "smoothness": [2.0, 4.0 + gm],
        }
        for gm in gms
    }


def test_the_comparison_draws_a_filled_band_for_each_point_that_is_shown() -> None:
    figure = comparison(measured(0, 1, 4, 16), [0, 16])
    assert [(trace.name, trace.fill, tuple(trace.y)) for trace in figure.data] == [
        ("no normalization, lowest", None, (1.0, 0.5)),
        ("no normalization", "tonexty", (2.0, 1.0)),
        ("GhostNorm, gm=16, lowest", None, (1.0, 0.5)),
        ("GhostNorm, gm=16", "tonexty", (2.0, 17.0)),
    ]
    assert [trace.name for trace in figure.data if trace.showlegend] == ["no normalization", "GhostNorm, gm=16"]
    assert figure.layout.yaxis.type == "log"


def test_the_gradients_have_a_line_for_each_point_in_either_panel_and_one_legend() -> None:
    figure = gradients(measured(1, 4))
    assert [(trace.name, trace.xaxis, tuple(trace.y), trace.showlegend) for trace in figure.data] == [
        ("BatchNorm", "x", (3.0, 1.0), True),
        ("BatchNorm", "x2", (2.0, 5.0), False),
        ("GhostNorm, gm=4", "x", (3.0, 1.0), True),
        ("GhostNorm, gm=4", "x2", (2.0, 8.0), False),
    ]


@pytest.mark.parametrize("count", [3, len(COLORS) + 1])
def test_a_point_has_the_same_colour_in_every_figure(count: int) -> None:
    points = measured(*range(count))
    first = comparison(points, [count - 1]).data[0].line.color
    assert first == gradients(points).data[-1].line.color == point_color(points, count - 1)
    assert updates(points[0]["lowest"]) == [1, 2]
