"""List, show, submit, describe, archive and compare searches."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field

from search.actions.estimate import estimate
from search.actions.submit import prepare
from search.plan.request import RequestModel
from search.plan.spec import Name, Note, SearchSpec, Text
from search.store import queries, searches
from search.views import (
    CandidatesView,
    ComparedSearches,
    Figure,
    PlanView,
    SearchPage,
    SearchState,
    SearchView,
)
from search.vocabulary.errors import InvalidSpec
from search.vocabulary.states import Action, Status
from service import accounts, charts
from service.accounts.limits import require_capacity, require_priority
from service.api.cursors import read_cursor, write_cursor
from service.api.data_sets import naming_no_paths, resolve_data_set, without_paths
from service.api.parameters import ChangeableId, Filter, IdempotencyKey, Limit, VisibleId, require_visible
from service.database import AppDatabase, AppSettings, ReadConnection
from service.middleware.access import Caller, CurrentCaller, require_scope
from service.response_cache import CachedReader, CachedReads, GzippedJSONResponse
from service.route import OneVisitRoute
from service.wording import place_of, reword

router = APIRouter(route_class=OneVisitRoute)
MAX_COMPARED = 8
ComparedIds = Annotated[list[str], Query(min_length=1, max_length=MAX_COMPARED, description="id of each search")]


class Description(RequestModel):
    """Fields of a search that can be changed at any time; fields left out keep their values."""

    model_config = ConfigDict(strict=True)

    name: Text | None = Field(None, description="name, shown in lists")
    tags: list[Name] | None = Field(None, max_length=32, description="tags, to filter by")
    note: Note | None = Field(None, description="free text")


@router.get("/searches")
def list_searches(
    connection: ReadConnection,
    caller: CurrentCaller,
    status: Status | None = None,
    recipe: Filter = None,
    name: Filter = None,
    owner: Filter = None,
    tag: Filter = None,
    sort: queries.SearchSort = "-created",
    archived: bool = False,
    id: Filter = None,
    cursor: Annotated[str | None, Query(max_length=1000)] = None,
    limit: Limit = 50,
) -> SearchPage:
    """List searches, newest first. ``id`` is the start of an id.

    ``next`` is the cursor of the next page, null on the last one.
    """
    before = read_cursor(cursor, sort) if cursor else None
    owner = caller.only_owner or owner
    rows = queries.list_searches(
        connection,
        status,
        before,
        limit + 1,
        recipe=recipe,
        owner=owner,
        name=name,
        tag=tag,
        sort=sort,
        archived=archived,
        id=id,
    )
    more = len(rows) > limit
    last = rows[limit - 1] if more else None
    return SearchPage(searches=tuple(rows[:limit]), next=write_cursor(last, sort) if last else None)


@router.post("/searches", status_code=201, response_model=SearchState, dependencies=[Depends(require_scope("submit"))])
def submit(
    body: SearchSpec,
    caller: CurrentCaller,
    database: AppDatabase,
    settings: AppSettings,
    response: Response,
    key: IdempotencyKey = None,
) -> SearchState | Response:
    """Queue a search for a worker. A request repeated with the same ``Idempotency-Key`` queues it once."""
    fields = body.model_dump(mode="json", exclude_unset=True)
    with naming_no_paths(settings):
        submission = prepare(settings, resolve_data_set(settings, fields))
    require_priority(settings, caller.token, body.priority)
    owner = caller.token.owner
    with database.write() as connection:
        if key is not None:
            earlier = accounts.claim_key(connection, owner, key, {"submit": fields})
            if earlier is not None:
                return JSONResponse(earlier.body, earlier.status, {"Location": _location(earlier.body["search"])})
        require_capacity(connection, settings, owner, sum(submission.plan.count_trials().values()))
        search_id = submission.store(connection, owner)
        state = SearchState(search=search_id, status=Status.QUEUED)
        accounts.record_action(connection, caller.token, Action.SUBMIT, search_id, {})
        if key is not None:
            accounts.store_response(connection, owner, key, accounts.StoredResponse(201, state.model_dump(mode="json")))
    response.headers["Location"] = _location(search_id)
    return state


@router.post("/searches/plan")
def plan(request: Request, body: SearchSpec, database: AppDatabase, settings: AppSettings) -> PlanView:
    """Count the trials that a search would run, with each strategy; list what is refused of it with the reason."""
    fields = resolve_data_set(settings, body.model_dump(mode="json", exclude_unset=True))
    with database.read_engine.connect() as connection:  # closed before a data set is looked at, which may take long
        seconds = queries.seconds_per_trial(connection, body.recipe)
    with naming_no_paths(settings):
        found = estimate(settings, fields, seconds)
    place = place_of(request)
    refused = (each.model_copy(update={"reason": without_paths(settings, each.reason)}) for each in found.refused)
    return found.model_copy(update={"refused": tuple(reword(each, place, "reason") for each in refused)})


@router.get("/searches/{id}", response_model=SearchView)
def show_search(cached: CachedReads, id: VisibleId) -> GzippedJSONResponse:
    """Show a search: status, progress, stages with candidates and choices, test results."""
    return cached.respond(id, lambda: cached.search(id), progress=True)


@router.patch("/searches/{id}")
def describe(database: AppDatabase, caller: CurrentCaller, id: ChangeableId, body: Description) -> SearchView:
    """Change a search's name, tags or note."""
    changes = body.model_dump(exclude_unset=True)
    with database.write() as connection:
        searches.describe(connection, id, **changes)
        accounts.record_action(connection, caller.token, Action.DESCRIBE, id, {"changed": sorted(changes)})
    with database.read_engine.connect() as connection:  # outside the transaction, so that others can write
        return queries.show_search(connection, id, caller.only_owner)


@router.delete("/searches/{id}", status_code=204)
def archive(database: AppDatabase, caller: CurrentCaller, id: ChangeableId) -> None:
    """Archive a search: hide it from lists. Nothing is deleted."""
    with database.write() as connection:
        searches.archive(connection, id)
        accounts.record_action(connection, caller.token, Action.ARCHIVE, id, {})


@router.get("/searches/{id}/candidates", response_model=CandidatesView)
def list_candidates(cached: CachedReads, id: VisibleId) -> GzippedJSONResponse:
    """List the candidates of each stage."""

    def collect() -> CandidatesView:
        shown = cached.search(id)
        return CandidatesView(stages={stage.name: stage.candidates for stage in shown.stages}, test=shown.test)

    return cached.respond(id, collect)


@router.get("/compare", response_model=ComparedSearches)
def compare(cached: CachedReads, caller: CurrentCaller, id: ComparedIds) -> GzippedJSONResponse:
    """Show several searches together; duplicate ids count once."""
    ids = find_compared(cached, caller, id)

    def collect() -> ComparedSearches:
        found = tuple(map(cached.search, ids))
        return ComparedSearches(searches=found, gains=tuple(queries.compare_searches(found)))

    return cached.respond_together(ids, collect, progress=True)


@router.get("/compare/candidates", response_model=Figure)
def compare_candidates(cached: CachedReads, caller: CurrentCaller, id: ComparedIds) -> GzippedJSONResponse:
    """Draw the candidates of several searches in one figure, as Plotly JSON."""
    ids = find_compared(cached, caller, id)
    return cached.respond_together(ids, lambda: charts.compare_chart(tuple(map(cached.search, ids))))


@router.get("/compare/test", response_model=Figure)
def compare_test(cached: CachedReads, caller: CurrentCaller, id: ComparedIds) -> GzippedJSONResponse:
    """Draw the test results of several searches in one figure, as Plotly JSON."""
    ids = find_compared(cached, caller, id)
    return cached.respond_together(ids, lambda: charts.compare_test_chart(tuple(map(cached.search, ids))))


def find_compared(cached: CachedReader, caller: Caller, ids: list[str]) -> list[str]:
    """Return the ids of the searches to compare, each once.

    Raises:
        InvalidSpec: if there are too many.
        NotFound: if one does not exist, or the caller may not see it.
    """
    if len(ids) > MAX_COMPARED:  # the page calls this too
        raise InvalidSpec(f"at most {MAX_COMPARED} searches can be compared: got {len(ids)}. Leave some out.")
    return [require_visible(each, cached.connection, caller) for each in dict.fromkeys(ids)]


def _location(search_id: str) -> str:
    return f"/api/searches/{search_id}"
