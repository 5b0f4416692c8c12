"""Draw the candidates of a stage: mean and spread of each, and the choice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import plotly.graph_objects as go

from search.plan.naming import list_columns
from search.plan.selection import Mode, Point
from search.plan.strategies.axes import GROUPS
from search.views import CandidateView, Figure, MeasuredView, QuartilesView, SeedView, StageView
from search.vocabulary.formatting import format_figure, format_mean
from service.charts.figure import ACCENT, CHOSEN, LEGEND_AT_BOTTOM, MUTED, to_figure

MAX_CANDIDATES = 100  # the best ones; a page of their own lists all
MAX_DOTS = 2000  # one a seed; more seeds are drawn as quartiles
DOT_OFFSET = 0.12  # categories to the right, so that dots do not cover the error bar

Label = Callable[[Point], str]
Spread = Sequence[SeedView] | Sequence[QuartilesView]  #: values of the replicates of candidates
Candidate = TypeVar("Candidate", bound=CandidateView)


def stage_chart(stage: StageView, spread: Spread, mode: Mode, metric: str) -> Figure:
    """Draw a stage's candidates: mean ± std, a dot for each seed, the tolerance band, and the choice with its reason.

    Args:
        stage: the stage of a search.
        spread: the value of each seed; if these are too many to tell apart, the quartiles of each candidate.
        mode: whether higher or lower is better.
        metric: name of the value.
    """
    label = _label_function(stage)
    rows = best_candidates(stage.candidates, mode)
    reference = [stage.reference] if stage.reference else []
    chart = _Chart([label(row.point) for row in (*reference, *rows)], label)
    if stage.reference:
        chart.add_candidates(reference, f"{stage.reference.point.norm}, for comparison", MUTED)
    chart.add_spread(spread)
    chart.add_candidates(rows, "mean ± std", ACCENT)
    if stage.tolerance is not None and stage.best_mean is not None:
        best, width = stage.best_mean, stage.tolerance
        chart.add_band(*((best - width, best) if mode == "max" else (best, best + width)), width)
    if winner := next((row for row in rows if row.chosen), None):
        chart.add_choice(winner, stage.sentence or "")
    hidden = len(stage.candidates) - len(rows)
    return chart.to_figure(f"validation {metric}", f"the best {len(rows):,}; {hidden:,} more" if hidden else "")


def best_candidates(rows: Sequence[Candidate], mode: Mode, limit: int = MAX_CANDIDATES) -> list[Candidate]:
    """Return at most ``limit`` candidates in their order: the choice and those with the best means."""
    if len(rows) <= limit:
        return list(rows)
    sign = 1 if mode == "max" else -1
    with_mean = [(row.chosen, sign * row.mean, row) for row in rows if row.mean is not None]
    best = sorted(with_mean, key=lambda ranked: ranked[:2], reverse=True)
    shown = {id(row) for *_, row in best[:limit]}
    return [row for row in rows if id(row) in shown]


def test_chart(rows: Sequence[MeasuredView], spread: Spread, metric: str) -> Figure:
    """Draw the results of stage ``test``: each measured point with its seeds. ``metric`` titles their axis."""
    names = {row.point: "\n".join(row.labels) for row in rows}

    def label(point: Point) -> str:
        return names.get(point, "")  # a seed can be stored shortly before its row

    chart = _Chart([label(row.point) for row in rows], label)
    chart.add_spread(spread)
    chart.add_candidates(rows, "mean ± std", ACCENT)
    return chart.to_figure(metric)


def _label_function(stage: StageView) -> Label:
    """Return the function that labels a candidate: by the axes that the stage varies."""
    further = [name for name in list_columns(row.variant for row in stage.candidates) if name not in stage.axes]
    several = [name for name in further if len({row.point.read(name) for row in stage.candidates}) > 1]

    def label(point: Point) -> str:
        groups = ", ".join(f"{axis}={point.read(axis)}" for axis in stage.axes if axis in GROUPS)
        others = [f"{axis}={point.read(axis)}" for axis in stage.axes if axis not in GROUPS]
        return "\n".join(filter(None, [*(str(point.read(each)) for each in several), groups, *others]))

    return label


def _hover_text(row: CandidateView) -> str:
    """Return why a candidate was in or out, or the gains of a measured point."""
    return "\n".join(gain.sentence for gain in row.gains) if isinstance(row, MeasuredView) else row.why or ""


class _Chart:
    """Points over named categories, on a numeric axis so that dots can be drawn beside their category."""

    def __init__(self, categories: Sequence[str], label: Label) -> None:
        self._figure = go.Figure()
        self._categories = list(dict.fromkeys(categories))
        self._position = {category: index for index, category in enumerate(self._categories)}
        self._label = label

    def _x(self, point: Point) -> int:
        return self._position[self._label(point)]

    def add_candidates(self, rows: Sequence[CandidateView], name: str, color: str) -> None:
        """Add means with their standard deviation."""
        rows = [row for row in rows if row.mean is not None]
        self._figure.add_trace(
            go.Scatter(
                x=[self._x(row.point) for row in rows],
                y=[row.mean for row in rows],
                error_y={"type": "data", "array": [row.std or 0 for row in rows], "thickness": 1.5, "width": 5},
                mode="markers",
                name=name,
                marker={"size": 11, "color": color},
                customdata=[[self._label(row.point), format_mean(row), _hover_text(row)] for row in rows],
                hovertemplate="%{customdata[0]}: %{customdata[1]}\n%{customdata[2]}",
            )
        )

    def add_spread(self, spread: Spread) -> None:
        """Add a dot for each seed, or a box for each candidate if quartiles are given."""
        shown = [row for row in spread if self._label(row.point) in self._position]
        if boxes := [row for row in shown if isinstance(row, QuartilesView)]:
            self._add_boxes(boxes)
        else:
            self._add_dots([row for row in shown if isinstance(row, SeedView)])

    def _add_dots(self, seeds: Sequence[SeedView]) -> None:
        self._figure.add_trace(
            go.Scatter(
                x=[self._x(seed.point) + DOT_OFFSET for seed in seeds],
                y=[seed.value for seed in seeds],
                mode="markers",
                name="each seed",
                marker={"size": 7, "color": MUTED, "opacity": 0.8},
                customdata=[[self._label(seed.point), format_figure(seed.value), seed.seed] for seed in seeds],
                hovertemplate="%{customdata[0]}: %{customdata[1]}\nseed %{customdata[2]}",
            )
        )

    def _add_boxes(self, rows: Sequence[QuartilesView]) -> None:
        """Add a box for each candidate: minimum, quartiles and maximum of its seeds."""
        low, first, median, third, high = zip(*(row.quartiles for row in rows), strict=True)
        self._figure.add_trace(
            go.Box(
                x=[self._x(row.point) + 2 * DOT_OFFSET for row in rows],
                lowerfence=low,
                q1=first,
                median=median,
                q3=third,
                upperfence=high,
                name="quartiles over the seeds",
                width=DOT_OFFSET,
                line={"color": MUTED, "width": 1.5},
            )
        )

    def add_band(self, low: float, high: float, width: float) -> None:
        """Shade the means within the tolerance of the best one."""
        self._figure.add_hrect(
            y0=low,
            y1=high,
            fillcolor=CHOSEN,
            opacity=0.14,
            line_width=0,
            name=f"within {format_figure(width)} of the best mean",
            showlegend=True,
        )

    def add_choice(self, winner: CandidateView, sentence: str) -> None:
        """Mark the choice."""
        x, y = self._x(winner.point), winner.mean
        star = {"symbol": "star", "size": 18, "color": CHOSEN}
        self._figure.add_trace(
            go.Scatter(x=[x], y=[y], mode="markers", name="chosen", marker=star, hovertext=sentence, hoverinfo="text")
        )
        self._figure.add_annotation(x=x, y=y, text="chosen", ax=-34, ay=-30, font={"color": CHOSEN})

    def to_figure(self, y_title: str, note: str = "") -> Figure:
        """Convert to JSON; a note, if given, replaces the labels of the x axis."""
        axis = {
            "tickvals": list(self._position.values()),
            "ticktext": self._categories,
            "showgrid": False,
            "range": [-0.5, len(self._categories) - 0.5],
            "zeroline": False,
            "automargin": True,
            **({"title": {"text": note}, "showticklabels": False} if note else {}),
        }
        return to_figure(self._figure, y_title, xaxis=axis, legend=LEGEND_AT_BOTTOM)
