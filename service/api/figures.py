"""Figures as Plotly JSON, drawn from what the other routes answer."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Path

from search.errors import InvalidSpec
from search.spec import NAME
from search.store import queries
from service import charts
from service.api.parameters import StageName, TrialNumber, Visible
from service.charts.candidates import MAX_DOTS
from service.charts.parallel import MAX_LINES
from service.charts.timeline import MAX_BARS
from service.versions import JSONAnswer, Keeping

router = APIRouter(prefix="/searches/{id}")


@router.get("/figures/{name}")
def candidates(kept: Keeping, id: Visible, name: StageName) -> JSONAnswer:
    """Draw a stage's candidates."""

    def draw() -> dict[str, Any]:
        shown = kept.search(id)
        found = shown["test"] if name == "test" else stage_of(shown, name)["candidates"]
        rows = charts.best_candidates(found, shown["mode"])
        if sum(row["n"] for row in rows) <= MAX_DOTS:
            seeds = queries.seeds_of(kept.store, id, name)
        else:
            seeds = queries.quartiles_of(kept.store, id, name, rows)
        if name == "test":
            return charts.test_chart(rows, seeds, shown["metric"])
        return charts.stage_chart(stage_of(shown, name), seeds, shown["mode"], shown["metric"])

    return kept.answer(id, draw)


@router.get("/figures/{name}/curves")
def curves(kept: Keeping, id: Visible, name: StageName) -> JSONAnswer:
    """Draw a stage's learning curves."""

    def draw() -> dict[str, Any]:
        metric, mode = queries.measure_of(kept.store, id)
        return charts.curves_chart(queries.learning_curves(kept.store, id, name, mode), metric)

    return kept.answer(id, draw, moves=True)


@router.get("/figures/grid/heatmap/{variant}")
def heat_map(kept: Keeping, id: Visible, variant: Annotated[str, Path(pattern=NAME)]) -> JSONAnswer:
    """Draw a grid's means over gm and gc."""

    def draw() -> dict[str, Any]:
        shown = kept.search(id)
        return charts.heat_map(stage_of(shown, "grid")["candidates"], variant, shown["metric"])

    return kept.answer(id, draw)


@router.get("/timeline")
def timeline(kept: Keeping, id: Visible) -> JSONAnswer:
    """Draw when each trial ran, and where."""

    def draw() -> dict[str, Any]:
        newest = queries.list_trials(kept.store, id, limit=MAX_BARS, sort="-started")
        return charts.timeline_chart(newest, time.time())

    return kept.answer(id, draw, moves=True)


@router.get("/parallel")
def parallel(kept: Keeping, id: Visible) -> JSONAnswer:
    """Draw every finished trial as a line through its gm, gc, seed and metric."""

    def draw() -> dict[str, Any]:
        metric, mode = queries.measure_of(kept.store, id)
        return charts.parallel_chart(queries.newest_tuning(kept.store, id, MAX_LINES), mode, metric)

    return kept.answer(id, draw)


@router.get("/trials/{stage}/{number}/figure")
def trial(kept: Keeping, id: Visible, stage: StageName, number: TrialNumber) -> JSONAnswer:
    """Draw a trial's figures by epoch."""

    def draw() -> dict[str, Any]:
        metric, _ = queries.measure_of(kept.store, id)
        return charts.trial_chart(queries.show_trial(kept.store, id, stage, number)["figures"], metric)

    return kept.answer(id, draw, moves=True)


def stage_of(shown: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a tuning stage of a search.

    Raises:
        InvalidSpec: if it has no such stage.
    """
    for stage in shown["stages"]:
        if stage["name"] == name:
            found: dict[str, Any] = stage
            return found
    known = ", ".join(stage["name"] for stage in shown["stages"])
    raise InvalidSpec(f"the stage must be one in which this search tunes: got {name}. Known: {known}.")
