"""What is done to a search: pause, resume, cancel, retry. Done again, each changes nothing and answers the same."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from search.digest import digest_of
from search.store import searches
from service import accounts
from service.access import Known
from service.api.parameters import Changeable
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
        searches.queue(connection, id, digest)
        accounts.record(connection, caller.token, "resume", id, {"accept_code_change": accepted})
        return _state(searches.get(connection, id))


@router.post("/retry")
def retry(stores: Store, caller: Known, id: Changeable) -> dict[str, Any]:
    """Train a search's failed trials again."""
    with stores.write() as connection:
        trials = searches.retry(connection, id)
        accounts.record(connection, caller.token, "retry", id, {"trials": trials})
        return {**_state(searches.get(connection, id)), "trials": trials}


def _ask(stores: Store, caller: Known, id: str, action: str, wanted: str) -> dict[str, Any]:
    with stores.write() as connection:
        search = searches.ask(connection, id, wanted)
        accounts.record(connection, caller.token, action, id, {})
        return _state(search)


def _state(search: searches.Search) -> dict[str, Any]:
    return {"search": search.id, "status": search.status, "wanted": search.wanted}
