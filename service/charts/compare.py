"""Several searches over one another."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from search.views import CandidateView, Figure, SearchView
from service.charts.figure import colors, finished

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "hexagon")  # not told by colour alone


def compare_chart(searches: Sequence[SearchView]) -> Figure:
    """Draw the candidates of every search, those of its last stage that has any, by point."""
    figure = go.Figure()
    for (shown, symbol), color in zip(zip(searches, SYMBOLS, strict=False), colors(), strict=False):
        stages = [stage for stage in shown.stages if stage.candidates]
        rows = sorted(stages[-1].candidates, key=lambda row: (row.gm, row.gc)) if stages else []
        _add(figure, shown, [(f"gm={row.gm}, gc={row.gc}", row) for row in rows], color, symbol)
    return _finished(figure, _metric(searches, "validation"))


def compare_test_chart(searches: Sequence[SearchView]) -> Figure:
    """Draw what every search measured on the test set, by the part that a point plays."""
    figure = go.Figure()
    for (shown, symbol), color in zip(zip(searches, SYMBOLS, strict=False), colors(), strict=False):
        rows = [(label, row) for row in shown.test for label in row.labels]
        _add(figure, shown, rows, color, symbol)
    return _finished(figure, _metric(searches, "test"))


def _add(
    figure: go.Figure, shown: SearchView, named: Sequence[tuple[str, CandidateView]], color: str, symbol: str
) -> None:
    rows = [(name, row) for name, row in named if row.mean is not None]
    figure.add_trace(
        go.Scatter(
            x=[name for name, _ in rows],
            y=[row.mean for _, row in rows],
            error_y={"type": "data", "array": [row.std or 0 for _, row in rows], "width": 5},
            mode="markers",
            name=shown.name or shown.search,
            marker={"size": 10, "color": color, "symbol": symbol},
            customdata=[[row.n, shown.search] for _, row in rows],
            hovertemplate="%{x}: %{y:.4f}<br>n=%{customdata[0]}, search %{customdata[1]}<extra></extra>",
        )
    )


def _finished(figure: go.Figure, metric: str) -> Figure:
    """Lay a figure out so that what stands over the same point stands side by side."""
    axis = {"type": "category", "showgrid": False, "tickson": "boundaries"}
    return finished(figure, metric, xaxis=axis, scattermode="group", scattergap=0.6)


def _metric(searches: Sequence[SearchView], measure: str) -> str:
    """Name the metric; several that are compared are all named."""
    names = dict.fromkeys(f"{measure} {shown.metric} ({shown.mode} is best)" for shown in searches)
    return " and ".join(names) if len(names) > 1 else f"{measure} {searches[0].metric}" if searches else ""
