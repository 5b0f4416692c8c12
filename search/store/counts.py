"""Counts for monitoring."""

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
)  # of trials; drivers write no other state


@dataclass(frozen=True, kw_only=True)
class Counts:
    """The counts at one moment."""

    searches: dict[str, int]  #: by status
    trials: dict[str, int]  #: of running searches, by state
    workers: int  #: live ones
    deliveries: dict[str, int]  #: webhook deliveries by state
    longest_wait: float  #: seconds that a queued search has waited at most; 0 if none is queued


def count_store(connection: Connection) -> Counts:
    """Count searches, trials, workers and deliveries."""
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
    """Return the longest wait since a search was last queued; time in pause does not count."""
    queued_at = (
        select(events.c.at)
        .where(events.c.search_id == searches.c.id, events.c.kind.in_((EventKind.SUBMITTED, EventKind.STATUS)))
        .order_by(events.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    waited = select(func.max(now() - queued_at)).where(searches.c.status == Status.QUEUED)
    return max(0.0, connection.execute(waited).scalar_one() or 0.0)
