"""Draw the learning curves of a stage: a line for each point, the range of its seeds as a band."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from search.plan.naming import list_columns, sort_key
from search.views import CurveView, Figure
from search.vocabulary.formatting import format_figure
from service.charts.figure import GRID, colors, to_figure, with_opacity


def curves_chart(curves: Sequence[CurveView], metric: str) -> Figure:
    """Draw the mean metric of each point by epoch, with a band from its lowest to its highest seed."""
    figure = go.Figure()
    further = list_columns(curve.variant for curve in curves)
    several = [each for each in further if len({curve.point.read(each) for curve in curves}) > 1]
    shown = sorted(curves, key=lambda curve: (sort_key(curve.variant), curve.gm, curve.gc))
    for curve, color in zip(shown, colors(), strict=False):
        name = ", ".join([f"gm={curve.gm}, gc={curve.gc}", *(f"{each}={curve.point.read(each)}" for each in several)])
        figure.add_trace(
            go.Scatter(
                x=[*curve.epoch, *reversed(curve.epoch)],
                y=[*curve.high, *reversed(curve.low)],
                fill="toself",
                fillcolor=with_opacity(color, 0.15),
                line={"width": 0},
                mode="lines",
                hoverinfo="skip",
                showlegend=False,
                legendgroup=name,
            )
        )
        figure.add_trace(
            go.Scatter(
                x=curve.epoch,
                y=curve.mean,
                mode="lines+markers" if len(curve.epoch) < 3 else "lines",
                name=name,
                legendgroup=name,
                line={"color": color, "width": 2},
                customdata=_hover_texts(curve),
                hovertemplate="%{fullData.name}, epoch %{x}: %{customdata}",
            )
        )
    return to_figure(figure, f"validation {metric}", xaxis={"title": {"text": "epoch"}, "gridcolor": GRID})


def _hover_texts(curve: CurveView) -> list[str]:
    """Return the mean of each epoch with its range and its number of seeds."""
    rows = zip(curve.mean, curve.low, curve.high, curve.n, strict=True)
    return [
        f"mean {format_figure(mean)}\nfrom {format_figure(low)} to {format_figure(high)}, n={n}"
        for mean, low, high, n in rows
    ]
