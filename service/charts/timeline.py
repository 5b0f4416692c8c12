"""Draw when and where each trial ran: a row for each slot of a node."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import plotly.graph_objects as go

from search.views import Figure, TrialRow
from search.vocabulary.states import Cause
from service.charts.figure import GRID, MUTED, colors, to_figure

MAX_BARS = 1000
ROW_PIXELS, AXIS_PIXELS = 26, 150


def timeline_chart(trials: Sequence[TrialRow], now: float) -> Figure:
    """Draw trials as bars in time, by node and slot, coloured by stage; failed or cancelled ones are hatched.

    Args:
        trials: in any order.
        now: where the bars of running trials end; seconds since 1970.
    """
    own = [trial for trial in trials if trial.reused_from is None]  # reused ones ran in another search
    placed = _assign_slots(sorted(own, key=lambda trial: trial.started_at), now)
    rows = {name: index for index, name in enumerate(sorted({row for row, _ in placed}))}
    figure = go.Figure()
    stages = dict.fromkeys(trial.stage for _, trial in placed)
    for stage, color in zip(stages, colors(), strict=False):
        for name, succeeded, pattern in ((stage, True, ""), (f"{stage}, failed or cancelled", False, "/")):
            bars = [(row, trial) for row, trial in placed if trial.stage == stage and _ended_well(trial) == succeeded]
            if bars:
                figure.add_trace(
                    go.Bar(
                        orientation="h",
                        name=name,
                        y=[rows[row] for row, _ in bars],
                        base=[_format_time(trial.started_at) for _, trial in bars],
                        x=[_duration(trial, now) * 1000 for _, trial in bars],
                        marker={"color": color, "pattern": {"shape": pattern}, "line": {"width": 1, "color": MUTED}},
                        customdata=[_hover_text(trial) for _, trial in bars],
                        hovertemplate="%{customdata}",
                    )
                )
    newest = f"the newest {MAX_BARS:,} trials" if len(trials) >= MAX_BARS else ""
    return to_figure(
        figure,
        "",
        xaxis={"type": "date", "gridcolor": GRID, "title": {"text": f"UTC{'; ' * bool(newest)}{newest}"}},
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


def _assign_slots(trials: Sequence[TrialRow], now: float) -> list[tuple[str, TrialRow]]:
    """Assign each trial to the first slot of its node that is free when the trial starts."""
    free_at: dict[str, list[float]] = {}
    placed = []
    for trial in trials:
        node = trial.where.host if trial.where else "starting"
        slots = free_at.setdefault(node, [])
        end = trial.started_at + _duration(trial, now)
        slot = next((index for index, free in enumerate(slots) if free <= trial.started_at), len(slots))
        slots[slot:] = [end, *slots[slot + 1 :]]
        placed.append((f"{node} · {slot + 1}", trial))
    return placed


def _duration(trial: TrialRow, now: float) -> float:
    return max(0.0, now - trial.started_at) if trial.seconds is None else trial.seconds


def _ended_well(trial: TrialRow) -> bool:
    return trial.cause in (None, Cause.FINISHED)


def _format_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def _hover_text(trial: TrialRow) -> str:
    end = "runs" if trial.seconds is None else f"{trial.cause} after {trial.seconds:.1f} s"
    return f"{trial.stage} {trial.number}: {trial.point}, seed {trial.seed}\n{end}"
