"""Searches: lists, one of them, submitting, describing, archiving, comparing."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from search.actions.estimate import estimate
from search.actions.submit import prepare
from search.plan.spec import Name, Note, SearchSpec, Text
from search.store import queries, searches
from search.views import (
    CandidatesView,
    Comparison,
    Figure,
    PlanView,
    SearchPage,
    SearchRow,
    SearchState,
    SearchView,
)
from search.vocabulary.errors import InvalidSpec
from search.vocabulary.states import Action, Status
from service import accounts, charts
from service.accounts.limits import require_priority, require_room
from service.api.data_sets import by_name
from service.api.parameters import Changeable, Filter, IdempotencyKey, Limit, Visible, visible
from service.database import Configured, Reading, Store
from service.middleware.access import Known, require
from service.response_cache import JSONAnswer, Keeping

router = APIRouter()
Compared = Annotated[list[str], Query(min_length=1, max_length=8, description="of each search")]


class Description(BaseModel):
    """What a person may change about a search at any time; what is left out stays."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Text | None = Field(None, description="a name for lists")
    tags: list[Name] | None = Field(None, max_length=32, description="words for filters")
    note: Note | None = Field(None, description="free text")


@router.get("/searches")
def list_searches(
    store: Reading,
    caller: Known,
    status: Status | None = None,
    recipe: Filter = None,
    name: Filter = None,
    owner: Filter = None,
    tag: Filter = None,
    sort: queries.SearchSort = "-created",
    archived: bool = False,
    cursor: Annotated[str | None, Query(max_length=1000)] = None,
    limit: Limit = 50,
) -> SearchPage:
    """List searches, newest first; ``next`` is the cursor of the page that follows, null on the last one."""
    before = _read_cursor(cursor, sort) if cursor else None
    if not caller.sees(owner or ""):  # one's own alone
        owner = caller.token.owner
    rows = queries.list_searches(
        store, status, before, limit + 1, recipe=recipe, owner=owner, name=name, tag=tag, sort=sort, archived=archived
    )
    more = len(rows) > limit
    last = rows[limit - 1] if more else None
    return SearchPage(searches=tuple(rows[:limit]), next=_write_cursor(last, sort) if last else None)


@router.post("/searches", status_code=201, response_model=SearchState, dependencies=[Depends(require("submit"))])
def submit(
    body: SearchSpec,
    caller: Known,
    stores: Store,
    settings: Configured,
    response: Response,
    key: IdempotencyKey = None,
) -> SearchState | Response:
    """Queue a search for a worker. Repeated with the same ``Idempotency-Key`` it is queued once."""
    fields = body.model_dump(mode="json", exclude_unset=True)
    submission = prepare(settings, by_name(settings, fields))
    require_priority(settings, caller.token, body.priority)
    owner = caller.token.owner
    with stores.write() as connection:
        if key is not None:
            earlier = accounts.begin_reply(connection, owner, key, {"submit": fields})
            if earlier is not None:
                return JSONResponse(earlier.body, earlier.status, {"Location": _location(earlier.body["search"])})
        require_room(connection, settings, owner, sum(submission.plan.count_trials().values()))
        search_id = submission.store(connection, owner)
        answer = SearchState(search=search_id, status=Status.QUEUED)
        accounts.record(connection, caller.token, Action.SUBMIT, search_id, {})
        if key is not None:
            accounts.keep_reply(connection, owner, key, accounts.Answer(201, answer.model_dump(mode="json")))
    response.headers["Location"] = _location(search_id)
    return answer


@router.post("/searches/plan")
def plan(body: SearchSpec, store: Reading, settings: Configured) -> PlanView:
    """Count the trials that a search would take, grid beside sequential; name refused group counts with the reason."""
    fields = by_name(settings, body.model_dump(mode="json", exclude_unset=True))
    return estimate(fields, queries.seconds_per_trial(store, body.recipe))


@router.get("/searches/{id}", response_model=SearchView)
def show_search(kept: Keeping, id: Visible) -> JSONAnswer:
    """Show a search: status, progress, stages with candidates and choices, test table."""
    return kept.answer(id, lambda: kept.search(id))


@router.patch("/searches/{id}")
def describe(stores: Store, caller: Known, id: Changeable, body: Description) -> SearchView:
    """Change a search's name, tags or note."""
    changes = body.model_dump(exclude_unset=True)
    with stores.write() as connection:
        searches.describe(connection, id, **changes)
        accounts.record(connection, caller.token, Action.DESCRIBE, id, {"changed": sorted(changes)})
    with stores.reading.connect() as connection:  # others may write by now
        return queries.show_search(connection, id)


@router.delete("/searches/{id}", status_code=204)
def archive(stores: Store, caller: Known, id: Changeable) -> None:
    """Leave a search out of lists from now on; everything of it is kept."""
    with stores.write() as connection:
        searches.archive(connection, id)
        accounts.record(connection, caller.token, Action.ARCHIVE, id, {})


@router.get("/searches/{id}/candidates", response_model=CandidatesView)
def list_candidates(kept: Keeping, id: Visible) -> JSONAnswer:
    """List the candidates of each stage."""

    def collect() -> CandidatesView:
        shown = kept.search(id)
        return CandidatesView(stages={stage.name: stage.candidates for stage in shown.stages}, test=shown.test)

    return kept.answer(id, collect)


@router.get("/compare")
def compare(kept: Keeping, caller: Known, id: Compared) -> Comparison:
    """Show several searches together, each once."""
    return Comparison(searches=tuple(kept.search(visible(each, kept.store, caller)) for each in dict.fromkeys(id)))


@router.get("/compare/candidates")
def compare_candidates(kept: Keeping, caller: Known, id: Compared) -> Figure:
    """Draw the candidates of several searches over one another, as Plotly JSON."""
    return charts.compare_chart(compare(kept, caller, id).searches)


@router.get("/compare/test")
def compare_test(kept: Keeping, caller: Known, id: Compared) -> Figure:
    """Draw what several searches measured on the test set, as Plotly JSON."""
    return charts.compare_test_chart(compare(kept, caller, id).searches)


def _location(search_id: str) -> str:
    return f"/api/searches/{search_id}"


def _write_cursor(last: SearchRow, sort: str) -> str:
    value = last.name if sort.endswith("name") else last.created_at
    return base64.urlsafe_b64encode(json.dumps([sort, value, last.search]).encode()).decode()


def _read_cursor(cursor: str, sort: str) -> tuple[str | float, str]:
    try:
        of, value, id = json.loads(base64.urlsafe_b64decode(cursor))
        if of != sort or not id.isascii() or not id.isalnum():
            raise ValueError
        if not sort.endswith("name"):
            return float(value), id
        if not value.isprintable():
            raise ValueError
        return value, id
    except (ValueError, TypeError, AttributeError, RecursionError, binascii.Error):
        raise InvalidSpec(
            f"cursor must be one that a page before gave, with the same sort: got {cursor[:80]!r}. Leave it out."
        ) from None
