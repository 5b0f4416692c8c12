"""How much there is of everything, for whoever watches a service from outside."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, String, cast, func, select

from search.store import deliveries, workers
from search.store.database import now
from search.store.tables import events, searches, stages, studies, trials
from search.vocabulary.states import EventKind, Status, TrialState

STATES = (
    TrialState.RUNNING,
    TrialState.COMPLETE,
    TrialState.FAIL,
)  # of trials; Optuna has more, none of which a driver writes


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What a store holds at one moment."""

    searches: dict[str, int]  #: by status
    trials: dict[str, int]  #: of the searches that run, by state
    workers: int  #: that were seen lately
    deliveries: dict[str, int]  #: of webhooks, by state
    longest_wait: float  #: seconds since the oldest queued search was queued; 0 if none is


def count_store(connection: Connection) -> Counts:
    """Count what a store holds."""
    by_status = select(searches.c.status, func.count().label("n")).group_by(searches.c.status)
    return Counts(
        searches=dict.fromkeys(Status, 0) | {row.status: row.n for row in connection.execute(by_status)},
        trials=dict.fromkeys(STATES, 0) | _trials(connection),
        workers=len(workers.list_alive(connection)),
        deliveries=deliveries.count_by_state(connection),
        longest_wait=_longest_wait(connection),
    )


def _trials(connection: Connection) -> dict[str, int]:
    state = cast(trials.c.state, String)
    rows = connection.execute(
        select(state.label("name"), func.count().label("n"))
        .select_from(searches)
        .join(stages, stages.c.search_id == searches.c.id)
        .join(studies, studies.c.study_name == stages.c.search_id + "/" + stages.c.name)
        .join(trials, trials.c.study_id == studies.c.study_id)
        .where(searches.c.status == Status.RUNNING)
        .group_by(state)
    )
    return {row.name: row.n for row in rows}


def _longest_wait(connection: Connection) -> float:
    """Count from when a search was queued last: one that was paused for a week has not waited for a worker."""
    queued_at = (
        select(events.c.at)
        .where(events.c.search_id == searches.c.id, events.c.kind.in_((EventKind.SUBMITTED, EventKind.STATUS)))
        .order_by(events.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    waited = select(func.max(now() - queued_at)).where(searches.c.status == Status.QUEUED)
    return max(0.0, connection.execute(waited).scalar_one() or 0.0)
