"""Trials: paged lists, one with its figures and attempts, what it printed."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from search.store import queries
from service import files
from service.api.parameters import After, GroupCount, Limit, StageName, State, TrialNumber, Visible
from service.store import Configured, Reading

router = APIRouter(prefix="/searches/{id}/trials")


@router.get("")
def list_trials(
    store: Reading,
    id: Visible,
    stage: StageName | None = None,
    state: State | None = None,
    gm: GroupCount = None,
    gc: GroupCount = None,
    sort: queries.Sort = "started",
    after: After = 0,
    limit: Limit = 50,
) -> dict[str, Any]:
    """List trials; ``next`` is the ``after`` of the page that follows."""
    rows = queries.list_trials(store, id, stage, state, after, limit + 1, sort, gm, gc)
    return {"trials": rows[:limit], "next": rows[limit - 1]["trial_id"] if len(rows) > limit else None}


@router.get("/{stage}/{number}")
def show_trial(store: Reading, id: Visible, stage: StageName, number: TrialNumber) -> dict[str, Any]:
    """Show a trial: its figures by epoch, and every attempt at the same point with the same seed."""
    return queries.show_trial(store, id, stage, number)


@router.get("/{stage}/{number}/log", response_class=PlainTextResponse)
def show_log(settings: Configured, store: Reading, id: Visible, stage: StageName, number: TrialNumber) -> str:
    """Return the end of what the attempts at a trial's point and seed have printed."""
    return files.tail(settings, id, queries.show_trial(store, id, stage, number))
