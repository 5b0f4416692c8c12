"""What is done to a search: pause, resume, cancel, retry, widen. The first three, done again, change nothing."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from search.actions.widen import Widening, prepare_retry, prepare_widening
from search.plan.digest import compute_digest
from search.store import searches
from search.views import SearchState
from search.vocabulary.states import Action, Status
from service import accounts
from service.accounts.limits import require_priority, require_room
from service.api.parameters import Changeable, Visible
from service.database import Configured, Reading, Store
from service.middleware.access import Known, require
from trainers.recipe import find

router = APIRouter(prefix="/searches/{id}")


class Resumption(BaseModel):
    """How a search is to go on."""

    model_config = ConfigDict(extra="forbid", strict=True)

    accept_code_change: bool = Field(False, description="go on with another code or other data than it began with")


@router.post("/pause")
def pause(stores: Store, caller: Known, id: Changeable) -> SearchState:
    """Stop a search so that it can be resumed; what finished is kept."""
    return _request(stores, caller, id, Action.PAUSE, Status.PAUSED)


@router.post("/cancel")
def cancel(stores: Store, caller: Known, id: Changeable) -> SearchState:
    """End a search for good; what finished is kept."""
    return _request(stores, caller, id, Action.CANCEL, Status.CANCELLED)


@router.post("/resume")
def resume(
    store: Reading,
    stores: Store,
    settings: Configured,
    caller: Known,
    id: Changeable,
    body: Resumption | None = None,
) -> SearchState:
    """Queue a paused search again."""
    accepted = body is not None and body.accept_code_change
    spec = searches.get(store, id).spec
    digest = compute_digest(spec, find(spec.recipe), settings.home) if accepted else None
    with stores.write() as connection:
        search = searches.get(connection, id)
        if search.status == Status.PAUSED:
            require_room(connection, settings, search.owner, search.planned)
        searches.queue(connection, id, digest)
        accounts.record(connection, caller.token, Action.RESUME, id, {"accept_code_change": accepted})
        return _state(searches.get(connection, id))


@router.post("/retry")
def retry(store: Reading, stores: Store, settings: Configured, caller: Known, id: Changeable) -> SearchState:
    """Train a search's failed trials again; in a child of it (``parent`` is its id) where a decided stage has some."""
    prepared = prepare_retry(settings, store, id)
    with stores.write() as connection:
        search = searches.get(connection, id)
        require_room(connection, settings, search.owner, search.planned)
        retried = prepared.store(connection, caller.token.owner)
        trials, child = retried.trials, retried.search_id
        accounts.record(connection, caller.token, Action.RETRY, id, {"trials": trials, "search": child})
        return _state(searches.get(connection, child), parent=retried.parent, trials=trials)


@router.post("/widen", status_code=201, dependencies=[Depends(require("submit"))])
def widen(
    store: Reading,
    stores: Store,
    settings: Configured,
    caller: Known,
    id: Visible,
    body: Widening,
    response: Response,
) -> SearchState:
    """Queue a child of a search with more values or seeds; it reuses what its parent finished."""
    submission = prepare_widening(settings, searches.get(store, id), body)
    require_priority(settings, caller.token, submission.spec.priority)
    owner = caller.token.owner
    with stores.write() as connection:
        require_room(connection, settings, owner, sum(submission.plan.count_trials().values()))
        child = submission.store(connection, owner)
        accounts.record(connection, caller.token, Action.WIDEN, id, {"search": child})
        answer = _state(searches.get(connection, child), parent=id)
    response.headers["Location"] = f"/api/searches/{child}"
    return answer


def _request(stores: Store, caller: Known, id: str, action: Action, status: Status) -> SearchState:
    with stores.write() as connection:
        search = searches.request_status(connection, id, status)
        accounts.record(connection, caller.token, action, id, {})
        return _state(search)


def _state(search: searches.Search, parent: str | None = None, trials: int | None = None) -> SearchState:
    return SearchState(
        search=search.id,
        status=search.status,
        requested_status=search.requested_status,
        parent=parent,
        trials=trials,
    )
