"""What is done to a search: pause, resume, cancel, retry, widen. The first three, done again, change nothing."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from search.digest import digest_of
from search.store import searches
from search.widening import Widening, prepare_retry, prepare_wider
from service import accounts
from service.access import Known, require
from service.api.parameters import Changeable, Visible
from service.limits import require_priority, require_room
from service.store import Configured, Reading, Store
from trainers.recipe import find

router = APIRouter(prefix="/searches/{id}")


class Resumption(BaseModel):
    """How a search is to go on."""

    model_config = ConfigDict(extra="forbid", strict=True)

    accept_code_change: bool = Field(False, description="go on with another code or other data than it began with")


@router.post("/pause")
def pause(stores: Store, caller: Known, id: Changeable) -> dict[str, Any]:
    """Stop a search so that it can be resumed; what finished is kept."""
    return _ask(stores, caller, id, "pause", "paused")


@router.post("/cancel")
def cancel(stores: Store, caller: Known, id: Changeable) -> dict[str, Any]:
    """End a search for good; what finished is kept."""
    return _ask(stores, caller, id, "cancel", "cancelled")


@router.post("/resume")
def resume(
    store: Reading,
    stores: Store,
    settings: Configured,
    caller: Known,
    id: Changeable,
    body: Resumption | None = None,
) -> dict[str, Any]:
    """Queue a paused search again."""
    accepted = body is not None and body.accept_code_change
    spec = searches.get(store, id).spec
    digest = digest_of(spec, find(spec.recipe), settings.home) if accepted else None
    with stores.write() as connection:
        search = searches.get(connection, id)
        if search.status == "paused":
            require_room(connection, settings, search.owner, search.planned)
        searches.queue(connection, id, digest)
        accounts.record(connection, caller.token, "resume", id, {"accept_code_change": accepted})
        return _state(searches.get(connection, id))


@router.post("/retry")
def retry(store: Reading, stores: Store, settings: Configured, caller: Known, id: Changeable) -> dict[str, Any]:
    """Train a search's failed trials again; in a child of it (``parent`` is its id) where a decided stage has some."""
    retrial = prepare_retry(settings, store, id)
    with stores.write() as connection:
        search = searches.get(connection, id)
        require_room(connection, settings, search.owner, search.planned)
        retried = retrial.store(connection, caller.token.owner)
        trials, child = retried.trials, retried.search_id
        accounts.record(connection, caller.token, "retry", id, {"trials": trials, "search": child})
        return {**_state(searches.get(connection, child)), "parent": retried.parent, "trials": trials}


@router.post("/widen", status_code=201, dependencies=[Depends(require("submit"))])
def widen(
    store: Reading,
    stores: Store,
    settings: Configured,
    caller: Known,
    id: Visible,
    body: Widening,
    response: Response,
) -> dict[str, Any]:
    """Queue a child of a search with more values or seeds; it reuses what its parent finished."""
    submission = prepare_wider(settings, searches.get(store, id), body)
    require_priority(settings, caller.token, submission.spec.priority)
    owner = caller.token.owner
    with stores.write() as connection:
        require_room(connection, settings, owner, sum(submission.plan.size().values()))
        child = submission.store(connection, owner)
        accounts.record(connection, caller.token, "widen", id, {"search": child})
        answer = {**_state(searches.get(connection, child)), "parent": id}
    response.headers["Location"] = f"/api/searches/{child}"
    return answer


def _ask(stores: Store, caller: Known, id: str, action: str, wanted: str) -> dict[str, Any]:
    with stores.write() as connection:
        search = searches.ask(connection, id, wanted)
        accounts.record(connection, caller.token, action, id, {})
        return _state(search)


def _state(search: searches.Search) -> dict[str, Any]:
    return {"search": search.id, "status": search.status, "wanted": search.wanted}
