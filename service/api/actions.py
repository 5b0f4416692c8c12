"""Actions on a search: pause, resume, cancel, retry, widen. The first three are idempotent."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Response
from pydantic import ConfigDict, Field

from search.actions.widen import Widening, prepare_retry, prepare_widening
from search.plan.digest import compute_digest
from search.plan.lifecycle import RESUMABLE
from search.plan.recipes import find_recipe
from search.plan.request import RequestModel
from search.plan.spec import refusing_specs
from search.store import recovery, searches
from search.views import SearchState
from search.vocabulary.states import Action, Status
from service import accounts
from service.accounts.limits import require_capacity, require_priority
from service.api.data_sets import naming_no_paths
from service.api.parameters import ChangeableId, VisibleId
from service.database import AppDatabase, AppSettings, ReadConnection
from service.middleware.access import CurrentCaller, require_scope
from service.route import OneVisitRoute

router = APIRouter(prefix="/searches/{id}", route_class=OneVisitRoute)


class Resumption(RequestModel):
    """Options of resuming a search."""

    model_config = ConfigDict(strict=True)

    accept_code_change: bool = Field(
        False, description="resume although the code or the data have changed since the search began"
    )


@router.post("/pause")
def pause(database: AppDatabase, settings: AppSettings, caller: CurrentCaller, id: ChangeableId) -> SearchState:
    """Pause a search. Finished trials are kept."""
    return _request_status(database, settings, caller, id, Action.PAUSE, Status.PAUSED)


@router.post("/cancel")
def cancel(database: AppDatabase, settings: AppSettings, caller: CurrentCaller, id: ChangeableId) -> SearchState:
    """Cancel a search for good. Finished trials are kept."""
    return _request_status(database, settings, caller, id, Action.CANCEL, Status.CANCELLED)


@router.post("/resume")
def resume(
    connection: ReadConnection,
    database: AppDatabase,
    settings: AppSettings,
    caller: CurrentCaller,
    id: ChangeableId,
    body: Resumption | None = None,
) -> SearchState:
    """Resume a paused or failed search: queue it again."""
    accepted = body is not None and body.accept_code_change
    search, digest = searches.get(connection, id), None
    _require_unbound(search, Action.RESUME)
    spec = search.spec
    with naming_no_paths(settings, spec.data), refusing_specs():
        if accepted:
            digest = compute_digest(spec, find_recipe(spec.recipe, settings.home), settings.home)
    with database.write() as writing:
        search = searches.get(writing, id)
        if search.status in RESUMABLE:
            require_capacity(writing, settings, search.owner, search.planned)
        searches.resume(writing, id, digest)
        accounts.record_action(writing, caller.token, Action.RESUME, id, {"accept_code_change": accepted})
        return _to_state(searches.get(writing, id))


@router.post("/retry")
def retry(
    connection: ReadConnection, database: AppDatabase, settings: AppSettings, caller: CurrentCaller, id: ChangeableId
) -> SearchState:
    """Train a search's failed trials again.

    If a decided stage has some, a child search trains them, and ``parent`` is the id of this search.
    """
    search = searches.get(connection, id)
    _require_unbound(search, Action.RETRY)
    with naming_no_paths(settings, search.spec.data):
        prepared = prepare_retry(settings, connection, id)
    with database.write() as writing:
        search = searches.get(writing, id)
        require_capacity(writing, settings, search.owner, search.planned)
        retried = prepared.store(writing, caller.token.owner)
        trials, child = retried.trials, retried.search_id
        accounts.record_action(writing, caller.token, Action.RETRY, id, {"trials": trials, "search": child})
        return _to_state(searches.get(writing, child), parent=retried.parent, trials=trials)


@router.post("/widen", status_code=201, dependencies=[Depends(require_scope("submit"))])
def widen(
    connection: ReadConnection,
    database: AppDatabase,
    settings: AppSettings,
    caller: CurrentCaller,
    id: VisibleId,
    body: Widening,
    response: Response,
) -> SearchState:
    """Queue a child search with more values or seeds. It reuses the finished trials of its parent."""
    parent = searches.get(connection, id)
    _require_unbound(parent, Action.WIDEN)
    with naming_no_paths(settings, parent.spec.data):
        submission = prepare_widening(settings, parent, body)
    require_priority(settings, caller.token, submission.spec.priority)
    owner = caller.token.owner
    with database.write() as writing:
        require_capacity(writing, settings, owner, sum(submission.plan.count_trials().values()))
        child = submission.store(writing, owner)
        accounts.record_action(writing, caller.token, Action.WIDEN, id, {"search": child})
        state = _to_state(searches.get(writing, child), parent=id)
    response.headers["Location"] = f"/api/searches/{child}"
    return state


def _require_unbound(search: searches.Search, action: Action) -> None:
    """Check that a service may have a search trained: one of somebody's own command is bound to its host and user.

    Raises:
        Conflict: naming them.
    """
    if search.bound:
        raise search.bound.refuse(search.id, action)


def _request_status(
    database: AppDatabase, settings: AppSettings, caller: CurrentCaller, id: str, action: Action, status: Status
) -> SearchState:
    with database.write() as connection:
        search = searches.request_status(connection, id, status)
        accounts.record_action(connection, caller.token, action, id, {})
    if not search.status.active:
        recovery.try_recover(settings.database_url, database.write_engine, id)  # a frozen driver may have left trials
    return _to_state(search)


def _to_state(search: searches.Search, parent: str | None = None, trials: int | None = None) -> SearchState:
    return SearchState(
        search=search.id,
        status=search.status,
        requested_status=search.requested_status,
        parent=parent,
        trials=trials,
    )
