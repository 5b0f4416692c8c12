"""Figures as Plotly JSON, drawn from what the other routes answer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Path

from search.plan.spec import NAME
from search.store import queries
from search.views import CandidateView, Figure, QuartilesView, SearchView, SeedView, StageView
from search.vocabulary.errors import InvalidSpec
from service import charts
from service.api.parameters import StageName, TrialNumber, Visible
from service.charts.candidates import MAX_DOTS
from service.charts.parallel import MAX_LINES
from service.charts.timeline import MAX_BARS
from service.response_cache import JSONAnswer, Keeping

router = APIRouter(prefix="/searches/{id}")


@router.get("/figures/{name}", response_model=Figure)
def candidates(kept: Keeping, id: Visible, name: StageName) -> JSONAnswer:
    """Draw a stage's candidates."""

    def draw() -> Figure:
        shown = kept.search(id)
        if name == "test":
            measured = charts.best_candidates(shown.test, shown.mode)
            return charts.test_chart(measured, spread(measured), shown.metric)
        stage = stage_of(shown, name)
        return charts.stage_chart(
            stage, spread(charts.best_candidates(stage.candidates, shown.mode)), shown.mode, shown.metric
        )

    def spread(rows: Sequence[CandidateView]) -> Sequence[SeedView] | Sequence[QuartilesView]:
        if sum(row.n for row in rows) <= MAX_DOTS:
            return queries.list_seed_values(kept.store, id, name)
        return queries.list_quartiles(kept.store, id, name, rows)

    return kept.answer(id, draw)


@router.get("/figures/{name}/curves", response_model=Figure)
def curves(kept: Keeping, id: Visible, name: StageName) -> JSONAnswer:
    """Draw a stage's learning curves."""

    def draw() -> Figure:
        metric, mode = queries.read_metric(kept.store, id)
        return charts.curves_chart(queries.learning_curves(kept.store, id, name, mode), metric)

    return kept.answer(id, draw, moves=True)


@router.get("/figures/{name}/heatmap/{variant}", response_model=Figure)
def heat_map(kept: Keeping, id: Visible, name: StageName, variant: Annotated[str, Path(pattern=NAME)]) -> JSONAnswer:
    """Draw a stage's means over gm and gc, if it tunes both."""

    def draw() -> Figure:
        shown = kept.search(id)
        stage = stage_of(shown, name)
        if len(stage.axes) < 2:
            raise InvalidSpec(
                f"a heat map is of a stage that tunes gm and gc together: got {name}, which tunes "
                f"{', '.join(stage.axes)}. Draw its candidates instead: figures/{name}."
            )
        return charts.heat_map(stage.candidates, variant, shown.metric)

    return kept.answer(id, draw)


@router.get("/timeline", response_model=Figure)
def timeline(kept: Keeping, id: Visible) -> JSONAnswer:
    """Draw when each trial ran, and where."""

    def draw() -> Figure:
        newest = queries.list_trials(kept.store, id, limit=MAX_BARS, sort="-started")
        return charts.timeline_chart(newest, time.time())

    return kept.answer(id, draw, moves=True)


@router.get("/parallel", response_model=Figure)
def parallel(kept: Keeping, id: Visible) -> JSONAnswer:
    """Draw every finished trial as a line through its gm, gc, seed and metric."""

    def draw() -> Figure:
        metric, mode = queries.read_metric(kept.store, id)
        return charts.parallel_chart(queries.list_newest_tuning(kept.store, id, MAX_LINES), mode, metric)

    return kept.answer(id, draw)


@router.get("/trials/{stage}/{number}/figure", response_model=Figure)
def trial(kept: Keeping, id: Visible, stage: StageName, number: TrialNumber) -> JSONAnswer:
    """Draw a trial's metrics by epoch."""

    def draw() -> Figure:
        metric, _ = queries.read_metric(kept.store, id)
        return charts.trial_chart(queries.show_trial(kept.store, id, stage, number).metrics, metric)

    return kept.answer(id, draw, moves=True)


def stage_of(shown: SearchView, name: str) -> StageView:
    """Return a tuning stage of a search.

    Raises:
        InvalidSpec: if it has no such stage.
    """
    for stage in shown.stages:
        if stage.name == name:
            return stage
    known = ", ".join(stage.name for stage in shown.stages)
    raise InvalidSpec(f"the stage must be one in which this search tunes: got {name}. Known: {known}.")
