"""The metrics of one trial by epoch."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from search.store.queries.curves import MAX_EPOCHS
from search.views import EpochView, Figure
from service.charts.figure import GRID, colors, finished


def trial_chart(epochs: Sequence[EpochView], metric: str) -> Figure:
    """Draw what a trial reported: the metric on the left axis, losses on the right one.

    Of very many epochs ``MAX_EPOCHS`` are drawn, evenly, with the last one.
    """
    every = len(epochs) // (MAX_EPOCHS + 1) + 1
    epochs = epochs[::-1][::every][::-1]
    drawn = go.Figure()
    names = dict.fromkeys(name for row in epochs for name in row.values if name != "seconds")
    for name, color in zip(names, colors(), strict=False):
        points = [(row.epoch, row.values[name]) for row in epochs if isinstance(row.values.get(name), int | float)]
        drawn.add_trace(
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
    return finished(drawn, metric, xaxis=xaxis, yaxis2=right, margin={"l": 70, "r": 70, "t": 20, "b": 90})
