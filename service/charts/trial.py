"""Draw the metrics of one trial by epoch."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from search.store.queries.curves import MAX_EPOCHS
from search.views import EpochView, Figure
from service.charts.figure import GRID, colors, to_figure


def trial_chart(epochs: Sequence[EpochView], metric: str) -> Figure:
    """Draw what a trial reported: the metric on the left axis, losses on the right one.

    Longer runs are subsampled evenly to ``MAX_EPOCHS``; the last epoch is kept.
    """
    step = len(epochs) // (MAX_EPOCHS + 1) + 1
    epochs = epochs[::-1][::step][::-1]
    figure = go.Figure()
    names = dict.fromkeys(name for row in epochs for name in row.values if name != "seconds")
    for name, color in zip(names, colors(), strict=False):
        points = [(row.epoch, row.values[name]) for row in epochs if isinstance(row.values.get(name), int | float)]
        figure.add_trace(
            go.Scatter(
                x=[epoch for epoch, _ in points],
                y=[value for _, value in points],
                name=name,
                mode="lines+markers" if len(points) < 3 else "lines",
                line={"color": color, "width": 2},
                yaxis="y2" if "loss" in name else "y",
            )
        )
    right = {"title": {"text": "loss"}, "overlaying": "y", "side": "right", "showgrid": False, "zeroline": False}
    xaxis = {"title": {"text": "epoch"}, "gridcolor": GRID}
    return to_figure(figure, metric, xaxis=xaxis, yaxis2=right, margin={"l": 70, "r": 70, "t": 20, "b": 90})
