"""Parallel coordinates: every finished trial a line through its gm, gc, seed and metric."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from service.charts.figure import GRID, Row, finished

MAX_LINES = 2000
RAMP = ("#8a94a6", "#7d93bd", "#5b8dd6", "#3fa7b0", "#2e9b5f")  # from the worst fifth to the best


def parallel_chart(trials: Sequence[Row], mode: str, metric: str) -> Row:
    """Draw trials as lines over axes, coloured by fifths of the metric.

    Plotly's own parallel coordinates need WebGL, which many machines under test or over remote desktops lack.

    Args:
        trials: rows with stage, variant, gm, gc, seed and value; beyond ``MAX_LINES`` the newest are drawn.
        mode: whether higher is better.
        metric: what the value is called.
    """
    rows = list(trials)[-MAX_LINES:]
    several = len({row["variant"] for row in rows}) > 1
    names = [*(["variant"] if several else []), "gm", "gc", "seed"]
    axes = [sorted({row[name] for row in rows}) for name in names]
    values = [row["value"] for row in rows]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    figure = go.Figure()
    order = sorted(rows, key=lambda row: row["value"], reverse=mode == "min")
    for fifth, color in enumerate(RAMP):
        part = order[len(order) * fifth // len(RAMP) : len(order) * (fifth + 1) // len(RAMP)]
        if not part:
            continue
        x: list[float | None] = []
        y: list[float | None] = []
        said: list[str] = []
        for row in part:
            heights = [_height(axis.index(row[name]), len(axis)) for name, axis in zip(names, axes, strict=True)]
            heights.append((row["value"] - low) / (high - low) if high > low else 0.5)
            x += [*range(len(heights)), None]
            y += [*heights, None]
            said += [_said(row, metric)] * len(heights) + [""]
        figure.add_trace(
            go.Scatter(
                x=x,
                y=y,
                mode="lines+markers",
                name=f"{['lowest', 'second', 'third', 'fourth', 'best'][fifth]} fifth",
                line={"color": color, "width": 1 + fifth * 0.4},
                marker={"size": 5},
                opacity=0.4 + fifth * 0.12,
                customdata=said,
                hovertemplate="%{customdata}<extra></extra>",
            )
        )
    for place, (name, axis) in enumerate(zip(names, axes, strict=True)):
        for index, value in enumerate(axis):
            if len(axis) <= 12 or index % (len(axis) // 12 + 1) == 0:
                _write(figure, place, _height(index, len(axis)), f"{name}={value}")
    if values:
        _write(figure, len(names), 0.0, f"{low:.4f}", "left")
        _write(figure, len(names), 1.0, f"{high:.4f}", "left")
    ticks = {"tickvals": list(range(len(names) + 1)), "ticktext": [*names, metric], "gridcolor": GRID}
    return finished(
        figure,
        "",
        xaxis={**ticks, "zeroline": False, "range": [-0.3, len(names) + 0.3]},
        yaxis={"visible": False, "range": [-0.08, 1.08]},
        hovermode="closest",
    )


def _height(index: int, count: int) -> float:
    return index / (count - 1) if count > 1 else 0.5


def _write(figure: go.Figure, x: float, y: float, text: str, side: str = "right") -> None:
    shift = 6 if side == "left" else -6
    figure.add_annotation(x=x, y=y, text=text, showarrow=False, xanchor=side, xshift=shift, font={"size": 11})


def _said(row: Row, metric: str) -> str:
    return f"{row['stage']}: gm={row['gm']}, gc={row['gc']}, seed {row['seed']}<br>{metric} {row['value']:.4f}"
