"""Draw parallel coordinates: a line for each finished trial through its gm, gc, seed and metric."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from search.plan.naming import list_columns, sort_value
from search.plan.selection import Mode
from search.views import Figure, TrialRow
from search.vocabulary.formatting import format_figure
from service.charts.figure import GRID, to_figure

MAX_LINES = 500
MAX_LINES_WITH_MARKERS = 200  # above this, a browser takes half a second for the markers
MAX_LABELS = 12  # labels at an axis; more values are subsampled evenly
COLORS = ("#8a94a6", "#7d93bd", "#5b8dd6", "#3fa7b0", "#2e9b5f")  # from the worst fifth to the best


def parallel_chart(trials: Sequence[TrialRow], mode: Mode, metric: str) -> Figure:
    """Draw trials as lines over axes, coloured by fifths of the metric.

    Plotly's own parallel coordinates need WebGL, which many test machines and remote desktops lack.

    Args:
        trials: finished ones, oldest first. Only the newest ``MAX_LINES`` are drawn.
        mode: whether higher or lower is better.
        metric: name of the value.
    """
    rows = [(row, row.value) for row in trials if row.value is not None][-MAX_LINES:]
    further = list_columns(row.variant for row, _ in rows)
    several = [name for name in further if len({row.point.read(name) for row, _ in rows}) > 1]
    names = [*several, "gm", "gc", "seed"]
    axes = [_axis_positions({_read(row, name) for row, _ in rows}) for name in names]
    values = [value for _, value in rows]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    figure = go.Figure()
    order = sorted(rows, key=lambda measured: measured[1], reverse=mode == "min")
    for fifth, color in enumerate(COLORS):
        part = order[len(order) * fifth // len(COLORS) : len(order) * (fifth + 1) // len(COLORS)]
        if not part:
            continue
        x: list[float | None] = []
        y: list[float | None] = []
        hover_texts: list[str] = []
        for row, value in part:
            heights = [axis[_read(row, name)] for name, axis in zip(names, axes, strict=True)]
            heights.append((value - low) / (high - low) if high > low else 0.5)
            x += [*range(len(heights)), None]
            y += [*heights, None]
            hover_texts += [_hover_text(row, value, metric)] * len(heights) + [""]
        figure.add_trace(
            go.Scatter(
                x=x,
                y=y,
                mode="lines+markers" if len(rows) <= MAX_LINES_WITH_MARKERS else "lines",
                name=f"{['worst', 'second', 'third', 'fourth', 'best'][fifth]} fifth",
                line={"color": color, "width": 1 + fifth * 0.4},
                marker={"size": 5},
                opacity=0.4 + fifth * 0.12,
                customdata=hover_texts,
                hovertemplate="%{customdata}",
            )
        )
    labels = [
        _annotation(position, height, f"{name}={value}")
        for position, (name, axis) in enumerate(zip(names, axes, strict=True))
        for index, (value, height) in enumerate(axis.items())
        if index % -(-len(axis) // MAX_LABELS) == 0
    ]
    if values:
        labels += [
            _annotation(len(names), 0.0, format_figure(low), "left"),
            _annotation(len(names), 1.0, format_figure(high), "left"),
        ]
    newest = f"the newest {MAX_LINES:,} trials" if len(rows) == MAX_LINES else ""
    ticks = {"tickvals": list(range(len(names) + 1)), "ticktext": [*names, metric], "gridcolor": GRID}
    return to_figure(
        figure,
        "",
        xaxis={**ticks, "title": {"text": newest}, "zeroline": False, "range": [-0.3, len(names) + 0.3]},
        yaxis={"visible": False, "range": [-0.08, 1.08]},
        hovermode="closest",
        annotations=labels,
    )


def _read(row: TrialRow, axis: str) -> int | str:
    return row.seed if axis == "seed" else row.point.read(axis)


def _axis_positions(values: set[int | str]) -> dict[int | str, float]:
    """Return the position of each value on an axis, from 0 to 1, in sorted order."""
    ordered = sorted(values, key=lambda value: sort_value(str(value)))
    return {value: index / (len(values) - 1) if len(values) > 1 else 0.5 for index, value in enumerate(ordered)}


def _annotation(x: float, y: float, text: str, side: str = "right") -> dict[str, object]:
    shift = 6 if side == "left" else -6
    return {"x": x, "y": y, "text": text, "showarrow": False, "xanchor": side, "xshift": shift, "font": {"size": 11}}


def _hover_text(row: TrialRow, value: float, metric: str) -> str:
    return f"{row.stage}: {row.point}, seed {row.seed}\n{metric} {format_figure(value)}"
