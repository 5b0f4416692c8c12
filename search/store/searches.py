"""Searches and their stages: submit, pause, cancel, retry, decide."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, bindparam, func, insert, select, update

from search.plan.lifecycle import Event
from search.plan.naming import NONE
from search.plan.rounds import Decision
from search.plan.selection import Choice, Mode, Point
from search.plan.spec import NumberValue, SearchSpec, read_stored
from search.plan.stages import Plan, Stage
from search.plan.strategies import Sweep
from search.store import transitions
from search.store.binding import Binding
from search.store.database import now
from search.store.events import add_event
from search.store.tables import candidates, searches, stages, trials
from search.store.upsert import upsert
from search.views import ChoiceView, EpochProgress, NodeView, Provenance
from search.vocabulary.errors import Conflict
from search.vocabulary.states import EventKind, Status
from trainers.commands.command import Command
from trainers.trial import Measure

SWEEPS = TypeAdapter(tuple[Sweep, ...])
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # no i, l, o, u: ids are read aloud and typed


class StageDecided(Conflict):
    """The request would change a decided stage."""

    def __init__(self, message: str, trials: int) -> None:
        super().__init__(message)
        self.trials = trials  #: number of failed trials


@dataclass(frozen=True, kw_only=True)
class Search:
    """A stored search."""

    id: str
    status: Status
    reason: str  #: of the status, for users
    requested_status: Status | None  #: requested by a user, not reached yet
    name: str
    tags: list[str]
    note: str
    spec: SearchSpec
    sweeps: tuple[Sweep, ...]  #: of the tuning stages, in order
    metric: str  #: compared between candidates
    mode: Mode  #: whether a higher or a lower metric is better
    numbers: dict[str, dict[str, NumberValue]]  #: resolved numbers of the recipe by variant; empty if unknown
    provenance: Provenance | None
    command: Command | None  #: the program, if it was made from a script or a command line
    bound: Binding | None  #: the host and the user that alone run it; None if any worker may
    planned: int  #: maximum number of trials
    samples: dict[Measure, int]  #: number of samples that accuracies are measured on, by split, where known
    slots: int | None  #: number of parallel trials
    running: EpochProgress | None  #: how far the running trials are, if a driver runs
    owner: str
    parent: str | None  #: the search whose finished trials it reuses
    epoch: int  #: number of leases so far
    created_at: float
    started_at: float | None
    finished_at: float | None
    archived_at: float | None  #: hidden from lists since then
    digest: dict[str, Any]
    retried_upto: int  #: failed trials up to this trial_id run again

    @property
    def plan(self) -> Plan:
        """The plan as submitted; the recipe need not be installed."""
        return Plan(
            spec=self.spec,
            metric=self.metric,
            mode=self.mode,
            sweeps=self.sweeps,
            trains_unnormalized=not self.numbers or NONE in self.numbers,
        )


def submit(
    connection: Connection,
    spec: SearchSpec,
    plan: Plan,
    digest: dict[str, str],
    owner: str = "local",
    parent: str | None = None,
    *,
    numbers: dict[str, dict[str, NumberValue]] | None = None,
    provenance: Provenance | None = None,
    command: Command | None = None,
) -> str:
    """Store a queued search with its first stages; return its id. It reuses finished trials of its ``parent``.

    One with a command is bound to this host and user.
    """
    search_id = "".join(secrets.choice(ALPHABET) for _ in range(10))
    connection.execute(
        insert(searches).values(
            id=search_id,
            created_at=now(),
            owner=owner,
            name=spec.name,
            note=spec.note,
            tags=spec.tags,
            recipe=spec.recipe,
            strategy=spec.strategy,
            spec=spec.model_dump(mode="json"),
            sweeps=SWEEPS.dump_python(plan.sweeps, mode="json"),
            metric=plan.metric,
            mode=plan.mode,
            numbers=numbers,
            provenance=provenance.model_dump(mode="json") if provenance else None,
            command=asdict(command) if command else None,
            bound=asdict(Binding.here()) if command else None,
            digest=digest,
            planned=sum(plan.count_replicates().values()),
            status=Status.QUEUED,
            reason="",
            priority=spec.priority,
            retried_upto=0,
            parent=parent,
            epoch=0,
        )
    )
    open_stage(connection, search_id, plan, plan.next_stage([]))
    open_stage(connection, search_id, plan, plan.baselines())
    add_event(connection, search_id, EventKind.SUBMITTED, {"parent": parent} if parent else {})
    if parent:
        add_event(connection, parent, EventKind.CHILD, {"search": search_id})
    return search_id


_OWNER_BY_ID = select(searches.c.owner).where(searches.c.id == bindparam("id"))


def get_owner(connection: Connection, search_id: str) -> str:
    """Return the owner of a search.

    Raises:
        NotFound: if no search has that id.
    """
    owner: str | None = None
    if transitions.is_valid(search_id):
        owner = connection.execute(_OWNER_BY_ID, {"id": search_id}).scalar_one_or_none()
    if owner is None:
        raise transitions.not_found(search_id)
    return owner


def get(connection: Connection, search_id: str) -> Search:
    """Return a search.

    Raises:
        NotFound: if no search has that id.
    """
    statement = select(searches).where(searches.c.id == search_id)
    row = connection.execute(statement).one_or_none() if transitions.is_valid(search_id) else None
    if row is None:
        raise transitions.not_found(search_id)
    return Search(
        id=row.id,
        status=Status(row.status),
        reason=row.reason,
        requested_status=Status(row.requested_status) if row.requested_status else None,
        name=row.name,
        tags=row.tags,
        note=row.note,
        spec=read_stored(row.spec),
        sweeps=SWEEPS.validate_python(row.sweeps),
        metric=row.metric,
        mode=row.mode,
        numbers=row.numbers or {},
        provenance=Provenance(**row.provenance) if row.provenance else None,
        command=Command.from_json(row.command) if row.command else None,
        bound=Binding.of(row.bound, row.command),
        planned=row.planned,
        samples=row.samples or {},
        slots=row.slots,
        running=EpochProgress(**row.running) if row.running else None,
        owner=row.owner,
        parent=row.parent,
        epoch=row.epoch,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        archived_at=row.archived_at,
        digest=row.digest,
        retried_upto=row.retried_upto,
    )


def resume(connection: Connection, search_id: str, digest: dict[str, str] | None = None) -> None:
    """Queue a paused or failed search again; withdraw a request to pause or cancel it that is not carried out yet.

    An archived search is listed again.

    Args:
        connection: a writing one.
        search_id: of the search.
        digest: of the changed code or data, if the change is accepted.

    Raises:
        NotFound: if no search has that id.
        Conflict: if it is done or cancelled, or a driver trains it with the code that a change replaces, or it is bound
            to another host or user.
    """
    if bound := get(connection, search_id).bound:
        bound.require_here(search_id)
    transitions.apply(connection, search_id, Event.RESUME)
    _list_again(connection, search_id)
    search = get(connection, search_id)
    if digest is None or digest == search.digest:
        return
    if search.status == Status.RUNNING:
        raise Conflict(
            f"a code change can be accepted only while the search does not run: got {search_id}, which is running. "
            f"Pause it first: seqnorm pause {search_id}"
        )
    connection.execute(update(searches).where(searches.c.id == search_id).values(digest=digest))
    add_event(connection, search_id, EventKind.CHANGE_ACCEPTED, {"before": search.digest, "after": digest})


def request_status(connection: Connection, search_id: str, status: Status) -> Search:
    """Request that a search is paused or cancelled; return its new state.

    A search without a live driver gets the status immediately, and :func:`search.store.recovery.recover_search` must
    end its trials; otherwise its driver does both within a second. Repeating a request has no effect.

    Raises:
        NotFound: if no search has that id.
        Conflict: if it has ended with another status.
    """
    transitions.apply(connection, search_id, Event(status.value))
    return get(connection, search_id)


def _list_again(connection: Connection, search_id: str) -> None:
    """Undo archiving: nothing may run that no list shows."""
    connection.execute(update(searches).where(searches.c.id == search_id).values(archived_at=None))


def retry(connection: Connection, search_id: str) -> int:
    """Queue a search to rerun its failed trials; return their number.

    Raises:
        NotFound: if no search has that id.
        Conflict: if it is queued, running or cancelled, or has no failed trial.
        StageDecided: if a decided stage has a failed trial, because a decided stage is never changed.
    """
    transitions.lock(connection, search_id)
    failed_trials = count_retriable(connection, search_id)
    newest = select(func.coalesce(func.max(trials.c.trial_id), 0)).scalar_subquery()
    connection.execute(update(searches).where(searches.c.id == search_id).values(retried_upto=newest))
    add_event(connection, search_id, EventKind.RETRY, {"trials": failed_trials})
    transitions.apply(connection, search_id, Event.RETRY)
    _list_again(connection, search_id)
    return failed_trials


def count_retriable(connection: Connection, search_id: str) -> int:
    """Count the failed trials of a search that :func:`retry` would rerun.

    Raises:
        NotFound, Conflict, StageDecided: as in :func:`retry`.
    """
    transitions.check(connection, search_id, Event.RETRY)
    failed = {
        row.stage: row.failed
        for row in connection.execute(
            select(candidates.c.stage, func.sum(candidates.c.failed).label("failed"))
            .where(candidates.c.search_id == search_id)
            .group_by(candidates.c.stage)
        )
    }
    for name in choices(connection, search_id):
        if failed.get(name):
            raise StageDecided(
                f"a decided stage is not changed: got {failed[name]} failed trials in stage {name} of {search_id}, "
                "which is decided. Let a child search rerun them.",
                sum(failed.values()),
            )
    if not sum(failed.values()):
        remedy = "" if get(connection, search_id).status == Status.DONE else f" Go on with: seqnorm resume {search_id}"
        raise Conflict(f"only failed trials can be retried: got {search_id}, which has none.{remedy}")
    return sum(failed.values())


def describe(
    connection: Connection,
    search_id: str,
    name: str | None = None,
    tags: Sequence[str] | None = None,
    note: str | None = None,
) -> None:
    """Change the name, tags or note of a search; None leaves a field unchanged.

    Raises:
        NotFound: if no search has that id.
    """
    transitions.lock(connection, search_id)
    given = {"name": name, "tags": list(tags) if tags is not None else None, "note": note}
    changes = {part: value for part, value in given.items() if value is not None}
    if changes:
        connection.execute(update(searches).where(searches.c.id == search_id).values(changes))
        add_event(connection, search_id, EventKind.DESCRIBED, {"changed": sorted(changes)})


def archive(connection: Connection, search_id: str) -> None:
    """Hide a search from lists; all its data is kept. Archiving again has no effect.

    Raises:
        NotFound: if no search has that id.
        Conflict: if it is queued or running.
    """
    transitions.apply(connection, search_id, Event.ARCHIVE)
    unlisted = update(searches).where(searches.c.id == search_id, searches.c.archived_at.is_(None))
    if connection.execute(unlisted.values(archived_at=now())).rowcount:
        add_event(connection, search_id, EventKind.ARCHIVED, {})


def open_stage(connection: Connection, search_id: str, plan: Plan, stage: Stage) -> None:
    """Store the plan of a stage; ``test`` is first stored with its baselines, and again when the winners are known."""
    described = {  # without asdict, which copies deeply: a grid may have 100,000 points, and others wait to write
        **vars(stage),
        "points": [vars(point) for point in stage.points],
        "reference": vars(stage.reference) if stage.reference else None,
        "replicates": len(stage.points) * len(stage.seeds),
    }
    position = plan.stage_names.index(stage.name)
    row = {"search_id": search_id, "name": stage.name, "position": position, "plan": described}
    upsert(connection, stages, row, ("plan",))


def stage_names(connection: Connection, search_id: str) -> list[str]:
    """Return the names of the stages that a search has opened, in order."""
    found = select(stages.c.name).where(stages.c.search_id == search_id).order_by(stages.c.position)
    return list(connection.execute(found).scalars())


def decide(connection: Connection, search_id: str, stage: Stage, choice: Choice, finalists: Sequence[Point]) -> None:
    """Store the choice of a stage, once.

    Raises:
        Conflict: if the stage is already decided.
    """
    decided = {**choice.as_json(), "finalists": [asdict(point) for point in finalists]}
    written = connection.execute(
        update(stages)
        .where(stages.c.search_id == search_id, stages.c.name == stage.name, stages.c.decided_at.is_(None))
        .values(choice=decided, decided_at=now())
    )
    if written.rowcount != 1:
        raise Conflict(f"a stage is decided once: got a second choice for {stage.name} of {search_id}.")
    add_event(connection, search_id, EventKind.DECIDED, {"stage": stage.name, "sentence": choice.sentence})


def set_measure(connection: Connection, search_id: str, plan: Plan, numbers: dict[str, dict[str, NumberValue]]) -> None:
    """Store metric, mode and numbers of a search that was migrated without its recipe."""
    connection.execute(
        update(searches)
        .where(searches.c.id == search_id, searches.c.numbers.is_(None))
        .values(metric=plan.metric, mode=plan.mode, numbers=numbers)
    )


def set_samples(connection: Connection, search_id: str, samples: Mapping[Measure, int]) -> None:
    """Store the number of samples that accuracies are measured on, by split."""
    connection.execute(update(searches).where(searches.c.id == search_id).values(samples=dict(samples)))


def set_planned(connection: Connection, search_id: str, planned: int) -> None:
    """Set the planned number of trials of a search."""
    connection.execute(update(searches).where(searches.c.id == search_id).values(planned=planned))


def choices(connection: Connection, search_id: str) -> dict[str, ChoiceView]:
    """Return the choices of decided stages, by stage."""
    rows = connection.execute(
        select(stages.c.name, stages.c.choice)
        .where(stages.c.search_id == search_id, stages.c.decided_at.is_not(None))
        .order_by(stages.c.position)
    )
    return {row.name: ChoiceView.model_validate(row.choice) for row in rows}


def decisions(connection: Connection, search_id: str) -> list[Decision]:
    """Return what the decided stages passed on, in order; their evidence is not read."""
    rows = connection.execute(
        select(stages.c.name, stages.c.choice["finalists"].label("finalists"))
        .where(stages.c.search_id == search_id, stages.c.decided_at.is_not(None))
        .order_by(stages.c.position)
    )
    return [Decision(row.name, tuple(Point(**point) for point in row.finalists)) for row in rows]


def set_slots(connection: Connection, search_id: str, slots: int, reason: str) -> None:
    """Set the number of parallel trials, and the reason if none can start yet."""
    connection.execute(update(searches).where(searches.c.id == search_id).values(slots=slots, reason=reason))
    add_event(connection, search_id, EventKind.SLOTS, {"slots": slots, "reason": reason})


def clear_reason(connection: Connection, search_id: str) -> None:
    """Clear the reason why no trial runs."""
    connection.execute(update(searches).where(searches.c.id == search_id).values(reason=""))
    add_event(connection, search_id, EventKind.SLOTS, {"reason": ""})


def set_cluster(connection: Connection, search_id: str, nodes: Sequence[NodeView]) -> None:
    """Set the nodes of the cluster; add an event if they changed."""
    before = connection.execute(select(searches.c.cluster).where(searches.c.id == search_id)).scalar_one()
    cluster = [node.model_dump(mode="json") for node in nodes]
    if before != cluster:
        connection.execute(update(searches).where(searches.c.id == search_id).values(cluster=cluster))
        add_event(connection, search_id, EventKind.CLUSTER, {"alive": sum(node.alive for node in nodes)})


def count_finished(connection: Connection, search_id: str) -> int:
    """Count the replicates that have ended and do not run again."""
    finished = func.coalesce(func.sum(candidates.c.n + candidates.c.failed), 0)
    return int(connection.execute(select(finished).where(candidates.c.search_id == search_id)).scalar_one())
