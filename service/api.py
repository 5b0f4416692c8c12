"""The JSON API. Routes are thin: parameters in, a query, its answer out."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import PlainTextResponse

from search.errors import InvalidSpec
from search.store import queries
from search.store.database import Connection
from service import charts, logs

router = APIRouter()

Status = Literal["queued", "running", "paused", "done", "failed", "cancelled"]
State = Literal["RUNNING", "COMPLETE", "FAIL", "PRUNED", "WAITING"]
StageName = Literal["gm", "gc", "grid", "test"]
TrialNumber = Annotated[int, Path(ge=0, le=2**31 - 1)]
Limit = Annotated[int, Query(ge=1, le=500)]


def connection(request: Request) -> Iterator[Connection]:
    """Give a route a connection of its own."""
    with request.app.state.connect() as opened:
        yield opened


Store = Annotated[Connection, Depends(connection)]


@router.get("/healthz")
def healthz(store: Store) -> dict[str, str]:
    """Say whether the service answers and its database too."""
    queries.list_searches(store, limit=1)
    return {"status": "ok"}


@router.get("/api/searches")
def list_searches(
    store: Store,
    status: Status | None = None,
    recipe: str | None = None,
    name: str | None = None,
    cursor: str | None = None,
    limit: Limit = 50,
) -> dict[str, Any]:
    """List searches, newest first; ``next`` is the cursor of the page that follows, null on the last one."""
    before = _read_cursor(cursor) if cursor else None
    rows = queries.list_searches(store, status, before, limit + 1, recipe=recipe, name=name)
    more = len(rows) > limit
    last = rows[limit - 1] if more else None
    return {"searches": rows[:limit], "next": _write_cursor(last["created_at"], last["id"]) if last else None}


@router.get("/api/searches/{id}")
def show_search(store: Store, id: str) -> dict[str, Any]:
    """Show a search: status, progress, stages with candidates and choices, test table."""
    return queries.show_search(store, id)


@router.get("/api/searches/{id}/candidates")
def list_candidates(store: Store, id: str) -> dict[str, Any]:
    """List the candidates of each stage."""
    shown = queries.show_search(store, id)
    return {"stages": {stage["name"]: stage["candidates"] for stage in shown["stages"]}, "test": shown["test"]}


@router.get("/api/searches/{id}/trials")
def list_trials(
    store: Store,
    id: str,
    stage: StageName | None = None,
    state: State | None = None,
    gm: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None,
    gc: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None,
    sort: queries.Sort = "started",
    after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Limit = 50,
) -> dict[str, Any]:
    """List trials; ``next`` is the ``after`` of the page that follows."""
    rows = queries.list_trials(store, id, stage, state, after, limit + 1, sort, gm, gc)
    return {"trials": rows[:limit], "next": rows[limit - 1]["trial_id"] if len(rows) > limit else None}


@router.get("/api/searches/{id}/trials/{stage}/{number}")
def show_trial(store: Store, id: str, stage: StageName, number: TrialNumber) -> dict[str, Any]:
    """Show a trial: its figures by epoch, and every attempt at the same point with the same seed."""
    return queries.show_trial(store, id, stage, number)


@router.get("/api/searches/{id}/trials/{stage}/{number}/log", response_class=PlainTextResponse)
def show_log(request: Request, store: Store, id: str, stage: StageName, number: TrialNumber) -> str:
    """Return the end of what the attempts at a trial's point and seed have printed."""
    trial = queries.show_trial(store, id, stage, number)
    return logs.tail(request.app.state.settings, id, trial)


@router.get("/api/searches/{id}/trials/{stage}/{number}/figure")
def trial_figure(store: Store, id: str, stage: StageName, number: TrialNumber) -> dict[str, Any]:
    """Return a trial's figures by epoch as Plotly JSON."""
    metric = queries.show_search(store, id)["metric"]
    return charts.trial_chart(queries.show_trial(store, id, stage, number)["figures"], metric)


@router.get("/api/searches/{id}/figures/{name}")
def figure(store: Store, id: str, name: StageName) -> dict[str, Any]:
    """Return a stage's candidates as Plotly JSON."""
    shown = queries.show_search(store, id)
    seeds = queries.seeds_of(store, id, name)
    if name == "test":
        return charts.test_chart(shown["test"], seeds, shown["metric"])
    return charts.stage_chart(_stage_of(shown, name), seeds, shown["mode"], shown["metric"])


@router.get("/api/searches/{id}/figures/{name}/curves")
def curves(store: Store, id: str, name: StageName) -> dict[str, Any]:
    """Return a stage's learning curves as Plotly JSON."""
    shown = queries.show_search(store, id)
    return charts.curves_chart(queries.learning_curves(store, id, name), shown["mode"], shown["metric"])


@router.get("/api/searches/{id}/figures/grid/heatmap/{variant}")
def heatmap(store: Store, id: str, variant: str) -> dict[str, Any]:
    """Return a grid's means over gm and gc as Plotly JSON."""
    shown = queries.show_search(store, id)
    return charts.heat_map(_stage_of(shown, "grid")["candidates"], variant, shown["metric"])


def _stage_of(shown: dict[str, Any], name: str) -> dict[str, Any]:
    for stage in shown["stages"]:
        if stage["name"] == name:
            found: dict[str, Any] = stage
            return found
    known = ", ".join([*(stage["name"] for stage in shown["stages"]), "test"])
    raise InvalidSpec(f"the figure must be of a stage of this search: got {name}. Known: {known}.")


def _write_cursor(created_at: float, id: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([created_at, id]).encode()).decode()


def _read_cursor(cursor: str) -> tuple[float, str]:
    try:
        created_at, id = json.loads(base64.urlsafe_b64decode(cursor))
        return float(created_at), str(id)
    except (ValueError, TypeError, binascii.Error):
        raise InvalidSpec(f"cursor must be one that a page before gave: got {cursor[:80]!r}. Leave it out.") from None
