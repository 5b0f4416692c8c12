"""The state of the cluster: workers, running searches, queued searches."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, String, cast, func, select

from search.store import leases, workers
from search.store.binding import Binding
from search.store.tables import searches, studies, trials
from search.views import ClusterView, NodeView, RunningView, WaitingView, WorkerView
from search.vocabulary.states import ACTIVE, Status, TrialState


def show_cluster(connection: Connection, owner: str | None = None) -> ClusterView:
    """Return the workers, the running searches with their nodes, and the queued searches with the reason.

    ``owner`` hides the searches of other owners, but they still count in positions and reasons.
    """
    alive = [_hide(worker, connection, owner) for worker in workers.list_alive(connection)]
    unfinished = select(*_COLUMNS).where(searches.c.status.in_(ACTIVE), searches.c.archived_at.is_(None))
    rows = connection.execute(leases.order_by_turn(unfinished)).all()
    running = [row for row in rows if row.status == Status.RUNNING]
    waiting = [row for row in rows if row.status == Status.QUEUED]
    return ClusterView(
        workers=tuple(alive),
        running=tuple(
            RunningView(
                **_common_fields(row),
                slots=row.slots,
                trials=_count_running(connection, row.id),
                nodes=tuple(NodeView(**node) for node in row.cluster or ()),
            )
            for row in running
            if owner in (None, row.owner)
        ),
        waiting=tuple(
            WaitingView(**_common_fields(row), position=position, why=_explain_wait(row, position, alive, len(running)))
            for position, row in enumerate(waiting, 1)
            if owner in (None, row.owner)
        ),
    )


_PARTS = ("name", "owner", "recipe", "priority", "created_at", "started_at", "reason")
_READ = ("id", "status", "slots", "cluster", "bound", *_PARTS)  # the others hold much JSON
_COLUMNS = [searches.c[name] for name in _READ]


def _hide(worker: WorkerView, connection: Connection, owner: str | None) -> WorkerView:
    """Hide which search a worker runs, if that is another owner's."""
    if owner is None or worker.search is None:
        return worker
    own = select(searches.c.id).where(searches.c.id == worker.search, searches.c.owner == owner)
    return worker.model_copy(update={"search": connection.execute(own).scalar_one_or_none()})


def _common_fields(row: Any) -> dict[str, Any]:
    return {"search": row.id, **{part: getattr(row, part) for part in _PARTS}}


def _explain_wait(row: Any, position: int, workers: list[WorkerView], running: int) -> str:
    """Return why a search waits. Each worker runs one search at a time."""
    if row.bound and row.bound["host"] not in {worker.host for worker in workers}:
        bound = Binding(**row.bound)
        return f"it waits for a worker of {bound}; there, {bound.advise(row.id)} to run it"
    if not workers:
        return "no worker is running. Start one with: seqnorm worker"
    if position == 1:
        busy = f"{running} running before it" if running else "a worker is about to start it"
        return f"it is next; {busy}"
    return f"{position - 1} waiting and {running} running before it"


def _count_running(connection: Connection, search_id: str) -> int:
    of_search = select(studies.c.study_id).where(studies.c.study_name.startswith(f"{search_id}/", autoescape=True))
    count = select(func.count()).where(
        trials.c.study_id.in_(of_search), cast(trials.c.state, String) == TrialState.RUNNING
    )
    return connection.execute(count.select_from(trials)).scalar_one()
