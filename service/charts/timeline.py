"""When each trial ran, and where: a row for each trial that a node ran at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import plotly.graph_objects as go

from search.views import Figure, TrialRow
from search.vocabulary.states import Cause
from service.charts.figure import GRID, MUTED, colors, finished

MAX_BARS = 1000
ROW_PIXELS, AXIS_PIXELS = 26, 150


def timeline_chart(trials: Sequence[TrialRow], now: float) -> Figure:
    """Draw trials as bars in time, by node and slot, coloured by stage; hatched where one failed or was cut.

    Args:
        trials: in any order.
        now: until when those run that have not ended; seconds since 1970.
    """
    here = [trial for trial in trials if trial.reused_from is None]  # the others ran elsewhere
    placed = _placed(sorted(here, key=lambda trial: trial.started_at), now)
    rows = {name: index for index, name in enumerate(sorted({row for row, _ in placed}))}
    figure = go.Figure()
    stages = dict.fromkeys(trial.stage for _, trial in placed)
    for stage, color in zip(stages, colors(), strict=False):
        for name, ended_well, pattern in ((stage, True, ""), (f"{stage}, failed or cut", False, "/")):
            bars = [(row, trial) for row, trial in placed if trial.stage == stage and _well(trial) == ended_well]
            if bars:
                figure.add_trace(
                    go.Bar(
                        orientation="h",
                        name=name,
                        y=[rows[row] for row, _ in bars],
                        base=[_moment(trial.started_at) for _, trial in bars],
                        x=[_seconds(trial, now) * 1000 for _, trial in bars],
                        marker={"color": color, "pattern": {"shape": pattern}, "line": {"width": 1, "color": MUTED}},
                        customdata=[_said(trial) for _, trial in bars],
                        hovertemplate="%{customdata}<extra></extra>",
                    )
                )
    left_out = f"the newest {MAX_BARS:,} trials" if len(trials) >= MAX_BARS else ""
    return finished(
        figure,
        "",
        xaxis={"type": "date", "gridcolor": GRID, "title": {"text": f"UTC{'; ' * bool(left_out)}{left_out}"}},
        yaxis={
            "tickvals": list(rows.values()),
            "ticktext": list(rows),
            "automargin": True,
            "range": [len(rows) - 0.5, -0.5],
            "showgrid": False,
        },
        barmode="overlay",
        bargap=0.2,
        height=AXIS_PIXELS + ROW_PIXELS * len(rows),
        hovermode="closest",
        margin={"l": 70, "r": 20, "t": 50, "b": 60},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom"},
    )


def _placed(trials: Sequence[TrialRow], now: float) -> list[tuple[str, TrialRow]]:
    """Give each trial a row of its node in which nothing runs at that time; the rows are few."""
    free_at: dict[str, list[float]] = {}
    placed = []
    for trial in trials:
        node = trial.where.host if trial.where else "starting"
        slots = free_at.setdefault(node, [])
        end = trial.started_at + _seconds(trial, now)
        slot = next((index for index, free in enumerate(slots) if free <= trial.started_at), len(slots))
        slots[slot:] = [end, *slots[slot + 1 :]]
        placed.append((f"{node} · {slot + 1}", trial))
    return placed


def _seconds(trial: TrialRow, now: float) -> float:
    return max(0.0, now - trial.started_at) if trial.seconds is None else trial.seconds


def _well(trial: TrialRow) -> bool:
    return trial.cause in (None, Cause.FINISHED)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def _said(trial: TrialRow) -> str:
    end = "runs" if trial.seconds is None else f"{trial.cause} after {trial.seconds:.1f} s"
    return f"{trial.stage} {trial.number}: gm={trial.gm}, gc={trial.gc}, seed {trial.seed}<br>{end}"
