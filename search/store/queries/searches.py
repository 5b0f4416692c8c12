"""Lists of searches, and one search with its stages, choices, counts and progress."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from sqlalchemy import Connection, String, Text, and_, bindparam, cast, func, select

from search.plan.naming import sort_key
from search.plan.rounds import Decision
from search.plan.selection import Candidate, Mode, Point
from search.plan.stages import TEST, Plan, list_finalists
from search.plan.strategies import Sweep
from search.store import candidates as projection
from search.store import progress
from search.store.attempts import find_studies
from search.store.database import now
from search.store.queries.events import NEWEST
from search.store.queries.gains import add_gains, find_gain, judge_sentence
from search.store.queries.trials import parse_time
from search.store.searches import Search, choices, get
from search.store.tables import candidates as candidate_rows
from search.store.tables import (
    searches,
    stages,
    trial_user_attributes,
    trials,
)
from search.views import (
    CandidateView,
    ChoiceView,
    EpochProgress,
    MeasuredView,
    Progress,
    SearchRow,
    SearchView,
    StageProgress,
    StageView,
    TrialCounts,
)
from search.vocabulary.states import ACTIVE, RUNS_AGAIN, Cause, Status, TrialState
from trainers.trial import Measure

SearchSort = Literal["-created", "created", "name", "-name"]
LIVE = (searches.c.lease_until > now()).label("live")  # whether its lease has not expired
RECENT_TRIALS = 50  # newest trials whose mean duration predicts the rest


def list_searches(
    connection: Connection,
    status: Status | None = None,
    before: tuple[str | float, str] | None = None,
    limit: int = 50,
    recipe: str | None = None,
    owner: str | None = None,
    name: str | None = None,
    tag: str | None = None,
    sort: SearchSort = "-created",
    archived: bool = False,
    id: str | None = None,
) -> list[SearchRow]:
    """Return searches, newest first by default.

    ``before`` is the (sort value, id) of the last search on the previous page. ``status``, ``recipe`` and ``owner``
    match exactly, ``tag`` matches one of the tags, ``name`` a part of the name, ``id`` the start of the id.
    ``archived`` selects archived searches instead of the others.
    """
    hidden = searches.c.archived_at.is_not(None) if archived else searches.c.archived_at.is_(None)
    statement = select(searches.c.id).where(hidden)
    for column, expected in ((searches.c.status, status), (searches.c.recipe, recipe), (searches.c.owner, owner)):
        if expected:
            statement = statement.where(column == expected)
    if id:
        statement = statement.where(searches.c.id.startswith(id, autoescape=True))
    if name:
        statement = statement.where(searches.c.name.icontains(name, autoescape=True))
    if tag:
        statement = statement.where(cast(searches.c.tags, Text).contains(json.dumps(tag), autoescape=True))
    column = searches.c.name if sort.endswith("name") else searches.c.created_at
    falling = sort.startswith("-")
    if before:
        value, search_id = before
        beyond = column < value if falling else column > value
        behind = searches.c.id < search_id if falling else searches.c.id > search_id
        statement = statement.where(beyond | ((column == value) & behind))
    order = (column.desc(), searches.c.id.desc()) if falling else (column, searches.c.id)
    ids = list(connection.execute(statement.order_by(*order).limit(limit)).scalars())
    rows = {row.id: row for row in connection.execute(_DESCRIBED, {"ids": ids})}
    chosen = _read_chosen(connection, ids)
    return [_search_row(connection, rows[search_id], chosen.get(search_id)) for search_id in ids]


_ROW = "id name recipe strategy status requested_status reason owner tags created_at finished_at planned slots running"
_ROW_COLUMNS = [searches.c[name] for name in _ROW.split()]  # parsing the JSON of the others would take longest
_FINISHED = (
    select(func.coalesce(func.sum(candidate_rows.c.n + candidate_rows.c.failed), 0))
    .where(candidate_rows.c.search_id == searches.c.id)
    .scalar_subquery()
)
_DESCRIBED = select(*_ROW_COLUMNS, _FINISHED.label("finished"), now().label("read_at"), LIVE).where(
    searches.c.id.in_(bindparam("ids", expanding=True))  # found before: else a sort would count for all searches
)


def _search_row(connection: Connection, row: Any, chosen: Candidate | None) -> SearchRow:
    trained = row.status == Status.RUNNING and row.live and row.running  # else it is what a driver has left
    running = EpochProgress(**row.running) if trained else None
    predictable = row.status == Status.RUNNING and (running or row.finished)
    seconds = _predict_seconds(connection, row.id, running) if predictable else None
    return SearchRow(
        search=row.id,
        name=row.name,
        recipe=row.recipe,
        strategy=row.strategy,
        status=row.status,
        requested_status=row.requested_status,
        reason=_explain(row.id, row.status, row.reason, row.live),
        owner=row.owner,
        tags=tuple(row.tags),
        created_at=row.created_at,
        finished_at=row.finished_at,
        age=row.read_at - row.created_at,
        finished=row.finished,
        planned=row.planned,
        epochs=running,
        seconds_left=_seconds_left(row.status, row.planned, row.finished, running, seconds, row.slots),
        chosen=chosen.point if chosen else None,
        mean=chosen.mean if chosen else None,
        std=chosen.std if chosen else None,
        sem=chosen.sem if chosen else None,
        n=chosen.n if chosen else 0,
        failed=chosen.failed if chosen else 0,
    )


def _explain(search_id: str, status: str, reason: str, live: bool | None) -> str:
    """Return the reason of a status; that of a running search whose lease has lapsed is not stored."""
    lost = status == Status.RUNNING and not live
    return f"its driver is gone; a worker takes it over, or: seqnorm resume {search_id}" if lost else reason


def _read_chosen(connection: Connection, search_ids: Sequence[str]) -> dict[str, Candidate]:
    """Return what searches have chosen in their last decided stages.

    Of a stored choice only the point is read: its evidence may have thousands of candidates, and the projection has the
    chosen one's mean too.
    """
    last = {row.search_id: row for row in connection.execute(_CHOSEN, {"ids": list(search_ids)})}
    return {
        search_id: Candidate(
            gm=row.gm,
            gc=row.gc,
            mean=row.mean,
            std=row.std,
            n=row.n or 0,
            failed=row.failed or 0,
            variant=row.variant,
        )
        for search_id, row in last.items()
        if row.variant is not None
    }


_POINT = {
    "variant": stages.c.choice["point", "variant"].as_string(),
    "gm": stages.c.choice["point", "gm"].as_integer(),
    "gc": stages.c.choice["point", "gc"].as_integer(),
}
_CHOSEN = (
    select(
        stages.c.search_id,
        *(column.label(name) for name, column in _POINT.items()),
        candidate_rows.c.mean,
        candidate_rows.c.std,
        candidate_rows.c.n,
        candidate_rows.c.failed,
    )
    .outerjoin(
        candidate_rows,
        (candidate_rows.c.search_id == stages.c.search_id)
        & (candidate_rows.c.stage == stages.c.name)
        & and_(*(candidate_rows.c[name] == column for name, column in _POINT.items())),
    )
    .where(stages.c.search_id.in_(bindparam("ids", expanding=True)), stages.c.decided_at.is_not(None))
    .order_by(stages.c.position)
)


def _predict_seconds(connection: Connection, search_id: str, running: EpochProgress | None) -> float | None:
    """Predict the duration of a search's trials: as its driver does, else from finished ones; None if unknown.

    Elapsed time tells nothing: it includes pauses, and reused trials took none of it.
    """
    if running is not None and running.seconds_per_trial is not None:
        return running.seconds_per_trial
    return _mean_seconds(connection, search_id)


def _seconds_left(
    status: str, planned: int, finished: int, running: EpochProgress | None, seconds: float | None, slots: int | None
) -> float | None:
    """Estimate the time left of a running search; None if unknown or none. For lists and pages, which must agree."""
    if status != Status.RUNNING or seconds is None or finished >= planned:
        return None
    return progress.estimate_seconds_left(planned, finished, running, seconds, slots or 1)


def seconds_per_trial(connection: Connection, recipe: str) -> float | None:
    """Return the mean trial time of the newest finished search of a recipe; None if there is none."""
    newest = connection.execute(
        select(searches.c.id)
        .where(searches.c.recipe == recipe, searches.c.status == Status.DONE)
        .order_by(searches.c.created_at.desc())
        .limit(1)
    ).scalar_one_or_none()
    return None if newest is None else _mean_seconds(connection, newest)


def count_active(connection: Connection, owner: str) -> tuple[int, int]:
    """Count the queued and running searches of an owner, and their trials."""
    row = connection.execute(
        select(func.count().label("searches"), func.coalesce(func.sum(searches.c.planned), 0).label("trials")).where(
            searches.c.owner == owner, searches.c.status.in_(ACTIVE)
        )
    ).one()
    return row.searches, row.trials


def show_search(connection: Connection, search_id: str, owner: str | None = None) -> SearchView:
    """Return a search with its stages, candidates, choices, test table and progress.

    ``owner`` hides the children of other owners.

    Raises:
        NotFound: if no search has that id.
    """
    version = connection.execute(_NEWEST_AND_LIVE, {"search_id": search_id}).first()
    event, live = version or (None, None)  # first, so that later events are not missed
    search = get(connection, search_id)
    plan = search.plan
    decided = choices(connection, search_id)
    # decided stages have their candidates in the evidence
    found = projection.read_candidates(connection, search_id, without=decided, with_values=TEST)
    decisions = [Decision(name, choice.finalists) for name, choice in decided.items()]
    winners = list_finalists(decisions) if decisions else []
    tuning = tuple(
        _stage_view(each, found.get(each.stage, []), decided.get(each.stage), search.samples)
        for each in plan.list_sweeps(decisions)
    )
    return SearchView(
        search=search.id,
        name=search.name,
        tags=tuple(search.tags),
        note=search.note,
        status=search.status,
        requested_status=search.requested_status,
        reason=_explain(search.id, search.status, search.reason, live),
        recipe=search.spec.recipe,
        metric=search.metric,
        mode=search.mode,
        strategy=search.spec.strategy,
        chosen=next((stage.chosen for stage in reversed(tuning) if stage.chosen), None),
        stages=tuning,
        test=add_gains(_test_table(found.get(TEST, []), winners, plan), search.mode, search.samples.get("test")),
        trials=_count_trials(connection, search),
        progress=_read_progress(connection, search, plan.count_replicates(decisions), set(decided), bool(live)),
        spec=search.spec,
        numbers=search.numbers,
        samples=search.samples,
        provenance=search.provenance,
        owner=search.owner,
        parent=search.parent,
        children=_list_children(connection, search.id, owner),
        created_at=search.created_at,
        started_at=search.started_at,
        finished_at=search.finished_at,
        archived_at=search.archived_at,
        newest_event=event or 0,
    )


_NEWEST_AND_LIVE = select(NEWEST, LIVE).where(searches.c.id == bindparam("search_id"))


def read_metric(connection: Connection, search_id: str) -> tuple[str, Mode]:
    """Return the metric and the mode of a search.

    Raises:
        NotFound: if no search has that id.
    """
    search = get(connection, search_id)
    return search.metric, search.mode


def _list_children(connection: Connection, search_id: str, owner: str | None) -> tuple[str, ...]:
    found = select(searches.c.id).where(searches.c.parent == search_id).order_by(searches.c.created_at)
    if owner is not None:
        found = found.where(searches.c.owner == owner)
    return tuple(connection.execute(found).scalars())


def _stage_view(
    sweep: Sweep, found: list[Candidate], choice: ChoiceView | None, samples: Mapping[Measure, int]
) -> StageView:
    evidence = choice.evidence if choice else None
    gain = find_gain(evidence, samples.get("validation")) if evidence else None
    return StageView(
        name=sweep.stage,
        axes=tuple(axis.name for axis in sweep.axes),
        chosen=choice.point if choice else None,
        rule=sweep.rule,
        tolerance=evidence.tolerance if evidence else None,
        best_mean=evidence.best_mean if evidence else None,
        sentence=judge_sentence(choice.sentence, gain) if choice else None,
        candidates=evidence.candidates
        if evidence
        else tuple(map(CandidateView.from_candidate, _sort_candidates(found))),
        reference=evidence.reference if evidence else None,
        gain=gain,
    )


def _sort_candidates(found: list[Candidate]) -> list[Candidate]:
    return sorted(found, key=lambda candidate: (sort_key(candidate.variant), candidate.gm, candidate.gc))


def _test_table(found: list[Candidate], winners: list[Point], plan: Plan) -> tuple[MeasuredView, ...]:
    """Return the rows of the test table: no normalization, BatchNorm, GhostNorm, SeqNorm."""
    rows = [MeasuredView.from_test_candidate(row, plan.label(row.point, winners)) for row in found]
    return tuple(sorted(rows, key=lambda row: (row.gc, row.gm)))


def _count_trials(connection: Connection, search: Search) -> TrialCounts:
    """Count trials: run, permanently failed, interrupted, running, and reused."""
    attribute, state = trial_user_attributes.c, cast(trials.c.state, String)
    cause = (
        select(attribute.value_json)
        .where(attribute.trial_id == trials.c.trial_id, attribute.key == "cause")
        .scalar_subquery()
    )
    condition = trials.c.study_id.in_(find_studies(connection, search.id))
    count = connection.execute(select(func.count()).select_from(trials).where(condition)).scalar_one()  # index-only
    is_refused = (cause == json.dumps(Cause.REFUSED)) & (trials.c.trial_id > search.retried_upto)
    runs_again = (state == TrialState.FAIL) & cause.in_([json.dumps(each) for each in RUNS_AGAIN])
    found = connection.execute(
        select(
            func.count().filter(state == TrialState.RUNNING).label("running"),
            func.count().filter(state == TrialState.FAIL).label("failed"),
            func.count().filter(runs_again).label("interrupted"),
            func.count().filter(is_refused).label("refused"),
        ).where(condition, state != TrialState.COMPLETE)
    ).one()
    may_reuse = search.parent or search.spec.vary or search.spec.rounds or len(search.spec.variants) > 1
    reused = _count_reused(connection, search.id) if may_reuse else 0
    return TrialCounts(
        run=count - reused,
        reused=reused,
        failed=found.failed - found.interrupted,
        retriable=max(0, projection.count_failed(connection, search.id) - found.refused),
        interrupted=found.interrupted,
        running=found.running,
    )


def _count_reused(connection: Connection, search_id: str) -> int:
    attribute = trial_user_attributes.c
    return connection.execute(
        select(func.count())
        .select_from(trial_user_attributes)
        .join(trials, trials.c.trial_id == attribute.trial_id)
        .where(trials.c.study_id.in_(find_studies(connection, search_id)), attribute.key == "reused_from")
    ).scalar_one()


def _read_progress(
    connection: Connection, search: Search, planned: Mapping[str, int], decided: set[str], live: bool
) -> Progress:
    """Return the progress of each stage, and the estimated time left."""
    ended = projection.count_ended(connection, search.id)
    by_stage = tuple(
        StageProgress(stage=name, planned=planned[name], finished=ended.get(name, 0), decided=name in decided)
        for name in planned
    )
    total, finished = sum(planned.values()), sum(stage.finished for stage in by_stage)
    running = search.running if live and search.status == Status.RUNNING else None
    seconds = _predict_seconds(connection, search.id, running)
    return Progress(
        stage=next((stage.stage for stage in by_stage if stage.finished < stage.planned), None),
        stages=by_stage,
        planned=total,
        finished=finished,
        epochs=running,
        slots=search.slots,
        seconds_left=_seconds_left(search.status, total, finished, running, seconds, search.slots),
        seconds_per_trial=seconds,
    )


def _mean_seconds(connection: Connection, search_id: str) -> float | None:
    """Return the mean duration of the newest finished trials; None if there is none."""
    rows = connection.execute(
        select(trials.c.datetime_start, trials.c.datetime_complete)
        .where(
            trials.c.study_id.in_(find_studies(connection, search_id)),
            cast(trials.c.state, String) == TrialState.COMPLETE,
        )
        .order_by(trials.c.trial_id.desc())
        .limit(RECENT_TRIALS)
    ).all()
    durations = [(parse_time(row.datetime_complete) - parse_time(row.datetime_start)).total_seconds() for row in rows]
    return sum(durations) / len(durations) if durations else None
