"""Trials: paged lists, and one with its figures and the attempts before it."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Select, String, cast, select

from search.errors import NotFound
from search.store.attempts import attempts, study_name
from search.store.metrics import read_metrics
from search.store.searches import get
from search.store.tables import studies, trial_params, trial_user_attributes, trial_values, trials

Sort = Literal["started", "-started", "value", "-value"]


def list_trials(
    connection: Connection,
    search_id: str,
    stage: str | None = None,
    state: str | None = None,
    after: int = 0,
    limit: int = 50,
    sort: Sort = "started",
    gm: int | None = None,
    gc: int | None = None,
) -> list[dict[str, Any]]:
    """Return trials, by default in the order they started; ``-value`` puts the highest first, unfinished ones last.

    ``after`` is the trial_id of the last one of the page before, in the same order.

    Raises:
        NotFound: if no search has that id.
    """
    get(connection, search_id)
    name, statement = studies.c.study_name, _trials()
    statement = statement.where(
        name == study_name(search_id, stage) if stage else name.startswith(f"{search_id}/", autoescape=True)
    )
    if state:
        statement = statement.where(cast(trials.c.state, String) == state)
    for parameter, wanted in (("gm", gm), ("gc", gc)):
        if wanted is not None:
            statement = statement.where(trials.c.trial_id.in_(_with_parameter(parameter, wanted)))
    return _described(connection, _page(connection, statement, sort, after).limit(limit))


def _trials() -> Select[Any]:
    return (
        select(
            trials.c.trial_id,
            trials.c.number,
            cast(trials.c.state, String).label("state"),
            trials.c.datetime_start,
            trials.c.datetime_complete,
            studies.c.study_name,
            trial_values.c.value,
        )
        .join(studies, studies.c.study_id == trials.c.study_id)
        .outerjoin(trial_values, trial_values.c.trial_id == trials.c.trial_id)
    )


def _with_parameter(name: str, value: int) -> Select[Any]:
    return select(trial_params.c.trial_id).where(trial_params.c.param_name == name, trial_params.c.param_value == value)


def _described(connection: Connection, statement: Select[Any]) -> list[dict[str, Any]]:
    """Read trials with their parameters and attributes."""
    rows = connection.execute(statement).all()
    ids = [row.trial_id for row in rows]
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
    return [_trial(row, details[row.trial_id]) for row in rows]


def _page(connection: Connection, statement: Select[Any], sort: Sort, after: int) -> Select[Any]:
    """Order trials, and begin behind the trial ``after``."""
    value, trial_id = trial_values.c.value, trials.c.trial_id
    if sort == "started":
        return statement.where(trial_id > after).order_by(trial_id)
    if sort == "-started":
        return (statement.where(trial_id < after) if after else statement).order_by(trial_id.desc())
    order = (value.is_(None), value.desc() if sort == "-value" else value, trial_id)
    if after:
        last = connection.execute(select(value).where(trial_values.c.trial_id == after)).scalar_one_or_none()
        behind = value.is_(None) & (trial_id > after)
        if last is not None:
            beyond = value < last if sort == "-value" else value > last
            behind = value.is_(None) | beyond | ((value == last) & (trial_id > after))
        statement = statement.where(behind)
    return statement.order_by(*order)


def _trial(row: Any, detail: dict[str, Any]) -> dict[str, Any]:
    started = moment_of(row.datetime_start)
    ended = moment_of(row.datetime_complete) if row.datetime_complete else None
    return {
        "trial_id": row.trial_id,
        "stage": row.study_name.split("/", 1)[1],
        "number": row.number,
        "variant": detail.pop("variant"),
        "gm": detail.pop("gm"),
        "gc": detail.pop("gc"),
        "seed": detail.pop("seed"),
        "state": row.state,
        "value": row.value,
        "cause": detail.pop("cause", "finished" if row.state == "COMPLETE" else None),
        "detail": detail.pop("detail", ""),
        "started_at": started.timestamp(),
        "seconds": (ended - started).total_seconds() if ended else None,
        "attributes": detail,
    }


def show_trial(connection: Connection, search_id: str, stage: str, number: int) -> dict[str, Any]:
    """Return a trial with its figures by epoch, and every attempt at the same point with the same seed.

    Raises:
        NotFound: if no search has that id, or it no such trial.
    """
    get(connection, search_id)
    name = study_name(search_id, stage)
    trial_id = connection.execute(
        select(trials.c.trial_id)
        .join(studies, studies.c.study_id == trials.c.study_id)
        .where(studies.c.study_name == name, trials.c.number == number)
    ).scalar_one_or_none()
    if trial_id is None:
        raise NotFound(f"no trial of {search_id} has that stage and number: got {stage} and {number}.")
    (trial,) = _described(connection, _trials().where(trials.c.trial_id == trial_id))
    same = _trials().where(studies.c.study_name == name)
    for parameter in ("gm", "gc", "seed"):
        same = same.where(trials.c.trial_id.in_(_with_parameter(parameter, trial[parameter])))
    tries = _described(connection, same.order_by(trials.c.trial_id))
    return {
        **trial,
        "figures": read_metrics(connection, trial_id),
        "attempts": [row for row in tries if row["variant"] == trial["variant"]],
    }


def seeds_of(connection: Connection, search_id: str, stage: str) -> list[dict[str, Any]]:
    """Return each finished replicate of a stage with its value, for the dots of a chart."""
    return [
        {**asdict(attempt.replicate.point), "seed": attempt.replicate.seed, "value": attempt.value}
        for attempt in attempts(connection, search_id, stage)
        if attempt.value is not None
    ]


def moment_of(value: Any) -> datetime:
    """Read one of Optuna's times, which are of the local clock."""
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)  # SQLite keeps text
