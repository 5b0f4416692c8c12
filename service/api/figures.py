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
from service.charts.timeline import MAX_BARS
from service.store import Reading

router = APIRouter(prefix="/searches/{id}")


@router.get("/figures/{name}")
def candidates(store: Reading, id: Visible, name: StageName) -> dict[str, Any]:
    """Draw a stage's candidates."""
    shown = queries.show_search(store, id)
    seeds = queries.seeds_of(store, id, name)
    if name == "test":
        return charts.test_chart(shown["test"], seeds, shown["metric"])
    return charts.stage_chart(_stage_of(shown, name), seeds, shown["mode"], shown["metric"])


@router.get("/figures/{name}/curves")
def curves(store: Reading, id: Visible, name: StageName) -> dict[str, Any]:
    """Draw a stage's learning curves."""
    shown = queries.show_search(store, id)
    return charts.curves_chart(queries.learning_curves(store, id, name), shown["mode"], shown["metric"])


@router.get("/figures/grid/heatmap/{variant}")
def heat_map(store: Reading, id: Visible, variant: Annotated[str, Path(pattern=NAME)]) -> dict[str, Any]:
    """Draw a grid's means over gm and gc."""
    shown = queries.show_search(store, id)
    return charts.heat_map(_stage_of(shown, "grid")["candidates"], variant, shown["metric"])


@router.get("/timeline")
def timeline(store: Reading, id: Visible) -> dict[str, Any]:
    """Draw when each trial ran, and where."""
    return charts.timeline_chart(queries.list_trials(store, id, limit=MAX_BARS, sort="-started"), time.time())


@router.get("/parallel")
def parallel(store: Reading, id: Visible) -> dict[str, Any]:
    """Draw every finished trial as a line through its gm, gc, seed and metric."""
    shown = queries.show_search(store, id)
    stages = [stage["name"] for stage in shown["stages"]]
    trials = [{**row, "stage": stage} for stage in stages for row in queries.seeds_of(store, id, stage)]
    return charts.parallel_chart(trials, shown["mode"], shown["metric"])


@router.get("/trials/{stage}/{number}/figure")
def trial(store: Reading, id: Visible, stage: StageName, number: TrialNumber) -> dict[str, Any]:
    """Draw a trial's figures by epoch."""
    metric = queries.show_search(store, id)["metric"]
    return charts.trial_chart(queries.show_trial(store, id, stage, number)["figures"], metric)


def _stage_of(shown: dict[str, Any], name: str) -> dict[str, Any]:
    for stage in shown["stages"]:
        if stage["name"] == name:
            found: dict[str, Any] = stage
            return found
    known = ", ".join([*(stage["name"] for stage in shown["stages"]), "test"])
    raise InvalidSpec(f"the figure must be of a stage of this search: got {name}. Known: {known}.")
