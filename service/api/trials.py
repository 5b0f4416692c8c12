"""List trials in pages, show one with its metrics and attempts, and show its log."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from search.actions.logs import read_log
from search.store import queries
from search.store.database import Connection
from search.views import LogPart, TrialPage, TrialView
from search.vocabulary.states import TrialState
from service.api import stored_files
from service.api.parameters import After, GroupCount, Limit, StageName, TrialNumber, VisibleId
from service.database import AppSettings, ReadConnection
from service.response_cache import CachedReads, GzippedJSONResponse
from service.route import OneVisitRoute

router = APIRouter(prefix="/searches/{id}/trials", route_class=OneVisitRoute)


@router.get("", response_model=TrialPage)
def list_trials(
    cached: CachedReads,
    id: VisibleId,
    stage: StageName | None = None,
    state: TrialState | None = None,
    gm: GroupCount = None,
    gc: GroupCount = None,
    sort: queries.Sort = "started",
    after: After = 0,
    limit: Limit = 50,
) -> GzippedJSONResponse:
    """List trials. ``next`` is the ``after`` of the next page, null on the last one."""
    return cached.respond(
        id, lambda: list_trials_page(cached.connection, id, stage, state, after, limit, sort, gm, gc), live=True
    )


def list_trials_page(
    connection: Connection,
    id: str,
    stage: str | None,
    state: TrialState | None,
    after: int,
    limit: int,
    sort: queries.Sort,
    gm: int | None = None,
    gc: int | None = None,
) -> TrialPage:
    """Return a page of trials, with the ``after`` of the next page; None on the last one."""
    rows = queries.list_trials(connection, id, stage, state, after, limit + 1, sort, gm, gc)
    return TrialPage(trials=tuple(rows[:limit]), next=rows[limit - 1].trial_id if len(rows) > limit else None)


@router.get("/{stage}/{number}", response_model=TrialView)
def show_trial(cached: CachedReads, id: VisibleId, stage: StageName, number: TrialNumber) -> GzippedJSONResponse:
    """Show a trial: its metrics by epoch, and all attempts at the same point and seed."""
    return cached.respond(id, lambda: queries.show_trial(cached.connection, id, stage, number), live=True)


@router.get("/{stage}/{number}/log", response_class=PlainTextResponse)
def show_log(
    settings: AppSettings, connection: ReadConnection, id: VisibleId, stage: StageName, number: TrialNumber
) -> str:
    """Return the end of the log of all attempts at a trial's point and seed."""
    return stored_files.read_log_tail(settings, id, queries.find_trial(connection, id, stage, number)).text


@router.get("/{stage}/{number}/log/part")
def show_log_part(
    settings: AppSettings,
    connection: ReadConnection,
    id: VisibleId,
    stage: StageName,
    number: TrialNumber,
    after: After = 0,
) -> LogPart:
    """Return a part of a trial's log from an offset; ask again with ``after`` until it has ``ended`` to follow it."""
    return read_log(settings, id, queries.find_trial(connection, id, stage, number), after)
