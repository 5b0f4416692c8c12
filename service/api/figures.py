"""Figures as Plotly JSON, drawn from the views that the other routes return."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Path

from search.plan.naming import MAX_VARIANT
from search.store import queries
from search.views import CandidateView, Figure, QuartilesView, SearchView, SeedView, StageView
from search.vocabulary.errors import InvalidSpec
from service import charts
from service.api.parameters import StageName, TrialNumber, VisibleId
from service.charts.candidates import MAX_DOTS
from service.charts.parallel import MAX_LINES
from service.charts.timeline import MAX_BARS
from service.response_cache import CachedReads, GzippedJSONResponse
from service.route import OneVisitRoute

router = APIRouter(prefix="/searches/{id}", route_class=OneVisitRoute)


@router.get("/figures/{name}", response_model=Figure)
def candidates(cached: CachedReads, id: VisibleId, name: StageName) -> GzippedJSONResponse:
    """Draw a stage's candidates."""

    def draw() -> Figure:
        shown = cached.search(id)
        if name == "test":
            best = charts.best_candidates(shown.test, shown.mode)
            title = f"{'validation' if shown.test_note else 'test'} {shown.metric}"
            return charts.test_chart(best, spread(best), title)
        stage = find_stage(shown, name)
        return charts.stage_chart(
            stage, spread(charts.best_candidates(stage.candidates, shown.mode)), shown.mode, shown.metric
        )

    def spread(rows: Sequence[CandidateView]) -> Sequence[SeedView] | Sequence[QuartilesView]:
        if sum(row.n for row in rows) <= MAX_DOTS:
            return queries.list_seed_values(cached.connection, id, name)
        return queries.list_quartiles(cached.connection, id, name, rows)

    return cached.respond(id, draw)


@router.get("/figures/{name}/curves", response_model=Figure)
def curves(cached: CachedReads, id: VisibleId, name: StageName) -> GzippedJSONResponse:
    """Draw a stage's learning curves."""

    def draw() -> Figure:
        metric, mode = queries.read_metric(cached.connection, id)
        return charts.curves_chart(queries.learning_curves(cached.connection, id, name, mode), metric)

    return cached.respond(id, draw, live=True)


@router.get("/figures/{name}/heatmap/{variant:path}", response_model=Figure)
def heat_map(
    cached: CachedReads, id: VisibleId, name: StageName, variant: Annotated[str, Path(max_length=MAX_VARIANT)]
) -> GzippedJSONResponse:
    """Draw a stage's means over gm and gc as a heat map, at one value of the other axes. The stage must tune both."""

    def draw() -> Figure:
        shown = cached.search(id)
        stage = find_stage(shown, name)
        if len(stage.axes) < 2:
            raise InvalidSpec(
                f"a heat map needs a stage that tunes gm and gc together: got {name}, which tunes "
                f"{', '.join(stage.axes)}. Draw its candidates instead: figures/{name}."
            )
        return charts.heat_map(stage.candidates, variant, shown.metric, shown.mode)

    return cached.respond(id, draw)


@router.get("/timeline", response_model=Figure)
def timeline(cached: CachedReads, id: VisibleId) -> GzippedJSONResponse:
    """Draw when and where each trial ran."""

    def draw() -> Figure:
        newest = queries.list_trials(cached.connection, id, limit=MAX_BARS, sort="-started")
        return charts.timeline_chart(newest, time.time())

    return cached.respond(id, draw, live=True)


@router.get("/parallel", response_model=Figure)
def parallel(cached: CachedReads, id: VisibleId) -> GzippedJSONResponse:
    """Draw the parallel coordinates of the finished trials: gm, gc, seed and metric."""

    def draw() -> Figure:
        metric, mode = queries.read_metric(cached.connection, id)
        return charts.parallel_chart(queries.list_newest_tuning(cached.connection, id, MAX_LINES), mode, metric)

    return cached.respond(id, draw)


@router.get("/trials/{stage}/{number}/figure", response_model=Figure)
def trial(cached: CachedReads, id: VisibleId, stage: StageName, number: TrialNumber) -> GzippedJSONResponse:
    """Draw a trial's metrics by epoch."""

    def draw() -> Figure:
        metric, _ = queries.read_metric(cached.connection, id)
        return charts.trial_chart(queries.show_trial(cached.connection, id, stage, number).metrics, metric)

    return cached.respond(id, draw, live=True)


def find_stage(shown: SearchView, name: str) -> StageView:
    """Return a stage of a search by its name; not the test stage.

    Raises:
        InvalidSpec: if the search has no such stage.
    """
    for stage in shown.stages:
        if stage.name == name:
            return stage
    known = ", ".join(stage.name for stage in shown.stages)
    raise InvalidSpec(f"the stage must be a tuning stage of this search: got {name}. Known: {known}.")
