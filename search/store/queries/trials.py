"""Trials: paged lists, and one trial with its metrics and attempts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Select, String, cast, select

from search.plan.selection import Point
from search.store.attempts import find_studies
from search.store.candidates import read_finished, read_point, read_quartiles
from search.store.metrics import read_metrics
from search.store.searches import get
from search.store.tables import trial_params, trial_user_attributes, trial_values, trials
from search.views import CandidateView, QuartilesView, SeedView, TrialRow, TrialView
from search.vocabulary.errors import NotFound
from search.vocabulary.states import Cause, TrialState

Sort = Literal["started", "-started", "value", "-value"]


def list_trials(
    connection: Connection,
    search_id: str,
    stage: str | None = None,
    state: TrialState | None = None,
    after: int = 0,
    limit: int = 50,
    sort: Sort = "started",
    gm: int | None = None,
    gc: int | None = None,
) -> list[TrialRow]:
    """Return trials, by default in the order they started; with ``-value``, highest first and unfinished last.

    ``after`` is the trial_id of the last trial on the previous page, in the same order.

    Raises:
        NotFound: if no search has that id.
    """
    get(connection, search_id)
    stages = find_studies(connection, search_id, stage)
    found = select(trials.c.trial_id).where(trials.c.study_id.in_(stages))
    if state:
        found = found.where(cast(trials.c.state, String) == state)
    for parameter, expected in (("gm", gm), ("gc", gc)):
        if expected is not None:
            found = found.where(_has_parameter(parameter, expected))
    return _read_trials(connection, _sorted_page(connection, found, sort, after).limit(limit), stages)


def list_newest_tuning(connection: Connection, search_id: str, limit: int) -> list[TrialRow]:
    """Return the newest finished trials of tuning stages, oldest first."""
    stages = {study_id: name for study_id, name in find_studies(connection, search_id).items() if name != "test"}
    finished = (trials.c.study_id.in_(stages)) & (cast(trials.c.state, String) == TrialState.COMPLETE)
    newest = select(trials.c.trial_id).where(finished).order_by(trials.c.trial_id.desc()).limit(limit)
    return _read_trials(connection, newest, stages)[::-1]


def _has_parameter(name: str, value: int) -> ColumnElement[bool]:
    """Return the condition that a trial has a parameter value; checked per trial, as values have no index."""
    row = trial_params.c
    found = select(row.trial_id).where(row.param_name == name, row.param_value == value)
    return found.where(row.trial_id == trials.c.trial_id).exists()


def _read_trials(connection: Connection, found: Select[Any], stages: Mapping[int, str]) -> list[TrialRow]:
    """Read the trials whose ids ``found`` selects, with parameters and attributes; ``stages`` are by study_id.

    The ids are queried first and separately: in one query, databases would read details of far too many trials.
    """
    ids = list(connection.execute(found).scalars())
    details: dict[int, dict[str, Any]] = {trial_id: {} for trial_id in ids}
    for trial_id, key, value in connection.execute(
        select(trial_params.c.trial_id, trial_params.c.param_name, trial_params.c.param_value).where(
            trial_params.c.trial_id.in_(ids)
        )
    ):
        details[trial_id][key] = int(value)
    for trial_id, key, value in connection.execute(
        select(trial_user_attributes.c.trial_id, trial_user_attributes.c.key, trial_user_attributes.c.value_json).where(
            trial_user_attributes.c.trial_id.in_(ids)
        )
    ):
        details[trial_id][key] = json.loads(value)
    rows = connection.execute(
        select(
            trials.c.trial_id,
            trials.c.number,
            cast(trials.c.state, String).label("state"),
            trials.c.datetime_start,
            trials.c.datetime_complete,
            trials.c.study_id,
            trial_values.c.value,
        )
        .outerjoin(trial_values, trial_values.c.trial_id == trials.c.trial_id)
        .where(trials.c.trial_id.in_(ids))
    )
    by_id = {row.trial_id: _trial_row(row, stages[row.study_id], details[row.trial_id]) for row in rows}
    return [by_id[trial_id] for trial_id in ids]


def _sorted_page(connection: Connection, statement: Select[Any], sort: Sort, after: int) -> Select[Any]:
    """Sort trials, and start after the trial ``after``."""
    value, trial_id = trial_values.c.value, trials.c.trial_id
    if sort == "started":
        return statement.where(trial_id > after).order_by(trial_id)
    if sort == "-started":
        return (statement.where(trial_id < after) if after else statement).order_by(trial_id.desc())
    statement = statement.outerjoin(trial_values, trial_values.c.trial_id == trial_id)
    order = (value.is_(None), value.desc() if sort == "-value" else value, trial_id)
    if after:
        last = connection.execute(select(value).where(trial_values.c.trial_id == after)).scalar_one_or_none()
        behind = value.is_(None) & (trial_id > after)
        if last is not None:
            beyond = value < last if sort == "-value" else value > last
            behind = value.is_(None) | beyond | ((value == last) & (trial_id > after))
        statement = statement.where(behind)
    return statement.order_by(*order)


def _trial_row(row: Any, stage: str, detail: dict[str, Any]) -> TrialRow:
    started = parse_time(row.datetime_start)
    ended = parse_time(row.datetime_complete) if row.datetime_complete else None
    return TrialRow(
        trial_id=row.trial_id,
        stage=stage,
        number=row.number,
        variant=detail["variant"],
        gm=detail["gm"],
        gc=detail["gc"],
        seed=detail["seed"],
        state=row.state,
        value=row.value,
        cause=detail.get("cause", Cause.FINISHED if row.state == TrialState.COMPLETE else None),
        detail=detail.get("detail", ""),
        started_at=started.timestamp(),
        seconds=(ended - started).total_seconds() if ended else None,
        gm_total=detail.get("gm_total"),
        group_size=detail.get("group_size"),
        epoch=detail.get("epoch"),
        reused_from=detail.get("reused_from"),
        where=detail.get("where"),
    )


def show_trial(connection: Connection, search_id: str, stage: str, number: int) -> TrialView:
    """Return a trial with its metrics by epoch, and every attempt at the same point with the same seed.

    Raises:
        NotFound: if no search has that id, or the search has no such trial.
    """
    trial = find_trial(connection, search_id, stage, number)
    return TrialView(
        **dict(trial),
        metrics=tuple(read_metrics(connection, trial.trial_id)),
        attempts=_attempts(connection, search_id, trial, find_studies(connection, search_id, stage)),
    )


def find_trial(connection: Connection, search_id: str, stage: str, number: int) -> TrialRow:
    """Return a trial by its stage and number.

    Raises:
        NotFound: if no search has that id, or the search has no such trial.
    """
    get(connection, search_id)
    stages = find_studies(connection, search_id, stage)
    numbered = select(trials.c.trial_id).where(trials.c.study_id.in_(stages), trials.c.number == number)
    found = _read_trials(connection, numbered, stages)
    if not found:
        raise NotFound(f"no trial of {search_id} has that stage and number: got {stage} and {number}.")
    return found[0]


def _attempts(
    connection: Connection, search_id: str, trial: TrialRow, stages: Mapping[int, str]
) -> tuple[TrialRow, ...]:
    """Return all attempts at a trial's point and seed.

    The finished one is read from the candidate; the others are searched among unfinished trials only.
    """
    point = Point(trial.variant, trial.gm, trial.gc)
    finished = read_point(connection, search_id, trial.stage, point)
    ids = {trial_id for trial_id, seed, _ in finished if seed == trial.seed}
    same = {"seed": trial.seed, "gm": trial.gm, "gc": trial.gc}  # seed first: most selective
    unfinished = (
        select(trials.c.trial_id)
        .where(trials.c.study_id.in_(stages), cast(trials.c.state, String) != TrialState.COMPLETE)
        .where(*(_has_parameter(name, value) for name, value in same.items()))
    )
    ids |= {trial.trial_id, *connection.execute(unfinished).scalars()}
    all_of_them = select(trials.c.trial_id).where(trials.c.trial_id.in_(ids)).order_by(trials.c.trial_id)
    rows = _read_trials(connection, all_of_them, stages)
    return tuple(row for row in rows if row.variant == trial.variant)


def list_seed_values(connection: Connection, search_id: str, stage: str) -> list[SeedView]:
    """Return the finished replicates of a stage with their values, for the dots of a chart."""
    return [
        SeedView(variant=point.variant, gm=point.gm, gc=point.gc, seed=seed, value=value)
        for point, finished in read_finished(connection, search_id, stage).items()
        for _, seed, value in finished
    ]


def list_quartiles(
    connection: Connection, search_id: str, stage: str, candidates: Iterable[CandidateView]
) -> list[QuartilesView]:
    """Return the quartiles of given candidates over their finished replicates, for the boxes of a chart."""
    found = read_quartiles(connection, search_id, stage, [row.point for row in candidates])
    return [
        QuartilesView(variant=point.variant, gm=point.gm, gc=point.gc, quartiles=quartiles)
        for point, quartiles in found.items()
    ]


def parse_time(value: Any) -> datetime:
    """Parse one of Optuna's times, which are in local time."""
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)  # SQLite keeps text
