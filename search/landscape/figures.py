"""Draws the figures of a loss landscape with Plotly: the paper's Figures 2 and 6 (3 and 7 on CIFAR-10)."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from search.landscape.trainings import point_name

COLORS = ("#8a94a6", "#5b8dd6", "#d1603d", "#2e9b5f", "#a35bd6", "#c9a227", "#3aa6a6", "#d65b8f", "#6b7f3a", "#444f63")
COLUMNS = 3
Measured = dict[int, dict[str, Any]]


def comparison(measured: Measured, shown: Sequence[int]) -> go.Figure:
    """Draw the bands of a few points in one plot (Figure 2)."""
    figure = go.Figure()
    for gm in shown:
        for trace in band(measured[gm], point_name(gm), point_color(measured, gm), legend=True):
            figure.add_trace(trace)
    figure.update_layout(**layout("Loss along each step of training", 480))
    figure.update_xaxes(title="update")
    figure.update_yaxes(title="loss", type="log")
    return figure


def panels(measured: Measured) -> go.Figure:
    """Draw a panel with the band of each point, and a last panel with all test errors (Figure 6)."""
    names = [point_name(gm) for gm in measured]
    rows = ceil((len(names) + 1) / COLUMNS)
    figure = make_subplots(rows=rows, cols=COLUMNS, subplot_titles=[*names, "test error"], vertical_spacing=0.4 / rows)
    for place, gm in enumerate(measured):
        row, column = place // COLUMNS + 1, place % COLUMNS + 1
        for trace in band(measured[gm], point_name(gm), point_color(measured, gm), legend=False):
            figure.add_trace(trace, row=row, col=column)
        figure.update_yaxes(type="log", row=row, col=column)
    row, column = len(names) // COLUMNS + 1, len(names) % COLUMNS + 1
    for gm, figures in measured.items():
        errors = figures["test_errors"]
        line = {"color": point_color(measured, gm)}
        epochs = list(range(1, len(errors) + 1))
        figure.add_trace(go.Scatter(x=epochs, y=errors, name=point_name(gm), line=line), row=row, col=column)
    share_axis(figure, len(names))
    figure.update_layout(**layout("Loss along each step of training, and the test error", 60 + 280 * rows))
    return figure


def gradients(measured: Measured) -> go.Figure:
    """Draw how much the gradient changes along each step: predictiveness and effective β (Santurkar et al.)."""
    titles = ("gradient predictiveness: largest ‖∇(θ) − ∇(θ − d)‖", "effective β-smoothness: largest ratio to ‖d‖")
    figure = make_subplots(rows=1, cols=2, subplot_titles=titles)
    for gm, figures in measured.items():
        for column, name in enumerate(("predictiveness", "smoothness"), 1):
            line = {"color": point_color(measured, gm), "width": 1}
            values = figures[name]
            trace = go.Scatter(x=updates(values), y=values, name=point_name(gm), line=line, showlegend=column == 1)
            figure.add_trace(trace, row=1, col=column)
    figure.update_yaxes(type="log")
    figure.update_xaxes(title="update")
    figure.update_layout(**layout("How much the gradient changes along each step", 480))
    return figure


def band(figures: dict[str, Any], name: str, color: str, legend: bool) -> list[go.Scatter]:
    """Return the traces of a band between the lowest and the highest loss of each walk."""
    x = updates(figures["lowest"])
    edge = {"color": color, "width": 0.5}
    return [
        go.Scatter(x=x, y=figures["lowest"], line=edge, name=f"{name}, lowest", showlegend=False, legendgroup=name),
        go.Scatter(
            x=x,
            y=figures["highest"],
            line=edge,
            fill="tonexty",
            name=name,
            showlegend=legend,
            legendgroup=name,
        ),
    ]


def updates(values: Sequence[float]) -> list[int]:
    """Count updates from 1."""
    return list(range(1, len(values) + 1))


def point_color(measured: Measured, gm: int) -> str:
    """Return the color of a point, the same in every figure."""
    return COLORS[list(measured).index(gm) % len(COLORS)]


def share_axis(figure: go.Figure, panels: int) -> None:
    """Give all panels of bands the same loss axis."""
    for place in range(2, panels + 1):
        figure.update_layout({f"yaxis{place}": {"matches": "y"}})


def layout(title: str, height: int) -> dict[str, object]:
    """Return the layout that all figures share."""
    return {"title": {"text": title}, "template": "plotly_white", "height": height, "legend": {"traceorder": "normal"}}
