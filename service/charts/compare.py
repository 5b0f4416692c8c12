"""Compare several searches in one figure."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from search.plan.naming import list_columns, sort_key
from search.views import CandidateView, Figure, SearchView
from search.vocabulary.formatting import format_mean
from service.charts.figure import LEGEND_AT_BOTTOM, PlotlyAxis, colors, to_figure

MARGIN = 0.06  # of the axis, beyond the error bars
SYMBOLS = (
    "circle",
    "square",
    "diamond",
    "triangle-up",
    "cross",
    "x",
    "star",
    "hexagon",
)  # searches differ by colour and by symbol


def compare_chart(searches: Sequence[SearchView]) -> Figure:
    """Draw the candidates of every search by point: those of its last stage with candidates."""
    figure = go.Figure()
    for (shown, symbol), color in zip(zip(searches, SYMBOLS, strict=False), colors(), strict=False):
        stages = [stage for stage in shown.stages if stage.candidates]
        rows = sorted(stages[-1].candidates, key=_sort_key) if stages else []
        _add(figure, shown, [(_name(row), row) for row in rows], color, symbol)
    return _lay_out(figure, _axis_title(searches, "validation"))


def compare_test_chart(searches: Sequence[SearchView]) -> Figure:
    """Draw the test results of every search by label, e.g. ``BatchNorm``."""
    figure = go.Figure()
    for (shown, symbol), color in zip(zip(searches, SYMBOLS, strict=False), colors(), strict=False):
        rows = [(label, row) for row in shown.test for label in row.labels]
        _add(figure, shown, rows, color, symbol)
    return _lay_out(figure, _axis_title(searches, "test"))


def _name(row: CandidateView) -> str:
    """Name a point, each value of its further axes on a line."""
    further = list_columns([row.variant])
    return "\n".join([f"gm={row.gm}, gc={row.gc}", *(f"{each}={row.point.read(each)}" for each in further)])


def _sort_key(row: CandidateView) -> tuple[object, ...]:
    return row.gm, row.gc, sort_key(row.variant)


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
            customdata=[[format_mean(row), shown.search] for _, row in rows],
            hovertemplate="%{x}: %{customdata[0]}\nsearch %{customdata[1]}",
        )
    )


def _lay_out(figure: go.Figure, metric: str) -> Figure:
    """Lay out a figure so that markers of the same category are side by side."""
    axis = {"type": "category", "showgrid": False, "tickson": "boundaries", "automargin": True}
    return to_figure(
        figure,
        metric,
        xaxis=axis,
        yaxis=_find_range(figure),
        legend=LEGEND_AT_BOTTOM,
        scattermode="group",
        scattergap=0.6,
    )


def _find_range(figure: go.Figure) -> PlotlyAxis:
    """Return the range of the means with their error bars: Plotly lets the axis of grouped markers begin at 0."""
    bars = [pair for trace in figure.data for pair in zip(trace.y, trace.error_y.array, strict=True)]
    if not bars:
        return {}
    low, high = min(mean - std for mean, std in bars), max(mean + std for mean, std in bars)
    margin = (high - low) * MARGIN or abs(high) * MARGIN
    return {"range": [low - margin, high + margin]}


def _axis_title(searches: Sequence[SearchView], measure: str) -> str:
    """Name the metric; name each if the searches have different ones."""
    names = dict.fromkeys(f"{measure} {shown.metric} ({shown.mode} is best)" for shown in searches)
    return " and ".join(names) if len(names) > 1 else f"{measure} {searches[0].metric}" if searches else ""
