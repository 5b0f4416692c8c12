"""The pages, rendered on the server from what the API answers."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response
from fastapi.templating import Jinja2Templates

from search.errors import NotFound
from search.wording import duration, mean_std, metric
from service import api

router = APIRouter(include_in_schema=False)
templates = Jinja2Templates(directory=Path(__file__).parent / "templates")


@router.get("/")
def searches(
    request: Request, store: api.Store, status: api.Status | None = None, cursor: str | None = None
) -> HTMLResponse:
    """List searches."""
    page = api.list_searches(store, status, cursor=cursor, limit=25)
    return templates.TemplateResponse(request, "searches.html", {**page, "status": status, "first": cursor is None})


@router.get("/searches/{id}")
def search(
    request: Request, store: api.Store, id: str, after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0
) -> Response:
    """Show one search."""
    try:
        shown = api.show_search(store, id)
    except NotFound as error:
        return templates.TemplateResponse(request, "missing.html", {"message": str(error)}, status_code=404)
    trials = api.list_trials(store, id, after=after, limit=50)
    return templates.TemplateResponse(request, "search.html", {"shown": shown, "page": trials, "after": after})


@router.get("/searches/{id}/trials/{stage}/{number}")
def trial(request: Request, store: api.Store, id: str, stage: api.StageName, number: api.TrialNumber) -> Response:
    """Show one trial."""
    try:
        shown, found = api.show_search(store, id), api.show_trial(store, id, stage, number)
    except NotFound as error:
        return templates.TemplateResponse(request, "missing.html", {"message": str(error)}, status_code=404)
    log = api.show_log(request, store, id, stage, number)
    return templates.TemplateResponse(request, "trial.html", {"shown": shown, "trial": found, "log": log})


def moment(value: float | None) -> str:
    """Write a time in UTC."""
    return "–" if value is None else datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M UTC")


templates.env.filters |= {"metric": metric, "moment": moment, "duration": duration, "mean_std": mean_std}
