"""Trials: paged lists, one with its figures and attempts, what it printed."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from search.store import queries
from search.store.database import Connection
from search.views import TrialPage, TrialView
from search.vocabulary.states import TrialState
from service.api import stored_files
from service.api.parameters import After, GroupCount, Limit, StageName, TrialNumber, Visible
from service.database import Configured, Reading
from service.response_cache import JSONAnswer, Keeping

router = APIRouter(prefix="/searches/{id}/trials")


@router.get("", response_model=TrialPage)
def list_trials(
    kept: Keeping,
    id: Visible,
    stage: StageName | None = None,
    state: TrialState | None = None,
    gm: GroupCount = None,
    gc: GroupCount = None,
    sort: queries.Sort = "started",
    after: After = 0,
    limit: Limit = 50,
) -> JSONAnswer:
    """List trials; ``next`` is the ``after`` of the page that follows."""
    return kept.answer(id, lambda: trials_page(kept.store, id, stage, state, after, limit, sort, gm, gc), moves=True)


def trials_page(
    store: Connection,
    id: str,
    stage: str | None,
    state: TrialState | None,
    after: int,
    limit: int,
    sort: queries.Sort,
    gm: int | None = None,
    gc: int | None = None,
) -> TrialPage:
    """Return a page of trials, and the ``after`` of the page that follows; None after the last one."""
    rows = queries.list_trials(store, id, stage, state, after, limit + 1, sort, gm, gc)
    return TrialPage(trials=tuple(rows[:limit]), next=rows[limit - 1].trial_id if len(rows) > limit else None)


@router.get("/{stage}/{number}", response_model=TrialView)
def show_trial(kept: Keeping, id: Visible, stage: StageName, number: TrialNumber) -> JSONAnswer:
    """Show a trial: its metrics by epoch, and every attempt at the same point with the same seed."""
    return kept.answer(id, lambda: queries.show_trial(kept.store, id, stage, number), moves=True)


@router.get("/{stage}/{number}/log", response_class=PlainTextResponse)
def show_log(settings: Configured, store: Reading, id: Visible, stage: StageName, number: TrialNumber) -> str:
    """Return the end of what the attempts at a trial's point and seed have printed."""
    return stored_files.tail(settings, id, queries.show_trial(store, id, stage, number))
