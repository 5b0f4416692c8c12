"""Draw a stage that tunes gm and gc together as a heat map."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from search.plan.selection import Mode
from search.views import CandidateView, Figure
from search.vocabulary.formatting import format_figure, format_mean
from service.charts.figure import CHOSEN, to_figure


def heat_map(candidates: Sequence[CandidateView], variant: str, metric: str, mode: Mode = "max") -> Figure:
    """Draw the mean of each (gm, gc) of a variant. Better is brighter, the choice is framed."""
    rows = [row for row in candidates if row.variant == variant]
    gms, gcs = sorted({row.gm for row in rows}), sorted({row.gc for row in rows})
    by_groups = {(row.gm, row.gc): row for row in rows}
    figure = go.Figure(
        go.Heatmap(
            x=[str(gm) for gm in gms],
            y=[str(gc) for gc in gcs],
            z=[[by_groups[gm, gc].mean if (gm, gc) in by_groups else None for gm in gms] for gc in gcs],
            text=[[_cell_text(by_groups.get((gm, gc))) for gm in gms] for gc in gcs],
            texttemplate="%{text}",
            customdata=[[_hover_text(by_groups.get((gm, gc))) for gm in gms] for gc in gcs],
            hovertemplate="gm=%{x}, gc=%{y}: %{customdata}",
            hoverongaps=False,
            colorscale="Viridis",
            reversescale=mode == "min",
            colorbar={"title": {"text": metric, "side": "right"}},
        )
    )
    if chosen := next((row for row in rows if row.chosen), None):
        x, y = gms.index(chosen.gm), gcs.index(chosen.gc)
        box = {"x0": x - 0.5, "x1": x + 0.5, "y0": y - 0.5, "y1": y + 0.5}
        figure.add_shape(type="rect", line={"color": CHOSEN, "width": 4}, **box)
    axis = {"title": {"text": "gm"}, "type": "category"}
    return to_figure(figure, "gc", xaxis=axis, yaxis={"title": {"text": "gc"}, "type": "category"})


def _cell_text(row: CandidateView | None) -> str:
    if row is None or row.mean is None:
        return "failed" if row and row.failed else ""
    return format_figure(row.mean) + (f"\n{row.failed} failed" if row.failed else "")


def _hover_text(row: CandidateView | None) -> str:
    return format_mean(row) if row else ""
