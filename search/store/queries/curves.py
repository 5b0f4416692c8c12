"""Learning curves: the metric by epoch, aggregated over seeds in SQL."""

from __future__ import annotations

import json

from sqlalchemy import ColumnElement, Connection, String, cast, func, select

from search.plan.selection import Mode, Point
from search.store.attempts import find_studies
from search.store.candidates import read_finished, read_point
from search.store.searches import get
from search.store.tables import trial_intermediate_values, trial_params, trial_user_attributes, trials
from search.views import CurveView
from search.vocabulary.states import TrialState

MAX_CURVES = 16  # more lines are indistinguishable
MAX_EPOCHS = 300  # of a line; longer runs are subsampled evenly


def learning_curves(connection: Connection, search_id: str, stage: str, mode: Mode = "max") -> list[CurveView]:
    """Return the curves of running points and of the best points of a stage: mean, minimum and maximum by epoch.

    Interrupted attempts are excluded, and so are non-finite metrics. Long runs are subsampled evenly to ``MAX_EPOCHS``.

    Raises:
        NotFound: if no search has that id.
    """
    get(connection, search_id)
    ids: dict[Point, list[int]] = {}
    for point, trial_id in _list_running(connection, search_id, stage):
        if point in ids or len(ids) < MAX_CURVES // 2:
            ids.setdefault(point, []).append(trial_id)
    finished = {point: read_point(connection, search_id, stage, point) for point in ids}
    for point, ended in read_finished(connection, search_id, stage, MAX_CURVES, mode).items():  # best first
        if len(finished) < MAX_CURVES:
            finished.setdefault(point, ended)
    for point, ended in finished.items():
        ids.setdefault(point, []).extend(trial_id for trial_id, *_ in ended)
    drawn = _select_epochs(connection, [trial_id for of_point in ids.values() for trial_id in of_point])
    curves = [_read_curve(connection, point, ids[point], drawn) for point in sorted(ids, key=str)]
    return [curve for curve in curves if curve.epoch]


def _list_running(connection: Connection, search_id: str, stage: str) -> list[tuple[Point, int]]:
    """Return the running trials of a stage with their points."""
    variant = trial_user_attributes.c
    groups = [
        select(trial_params.c.param_value)
        .where(trial_params.c.trial_id == trials.c.trial_id, trial_params.c.param_name == name)
        .scalar_subquery()
        .label(name)
        for name in ("gm", "gc")
    ]
    rows = connection.execute(
        select(trials.c.trial_id, variant.value_json, *groups)
        .join(trial_user_attributes, (variant.trial_id == trials.c.trial_id) & (variant.key == "variant"))
        .where(trials.c.study_id.in_(find_studies(connection, search_id, stage)))
        .where(cast(trials.c.state, String) == TrialState.RUNNING)
    )
    return [(Point(json.loads(row.value_json), int(row.gm), int(row.gc)), row.trial_id) for row in rows]


def _select_epochs(connection: Connection, trial_ids: list[int]) -> ColumnElement[bool]:
    """Return the condition that selects at most ``MAX_EPOCHS`` epochs, evenly spaced and including the last."""
    row = trial_intermediate_values.c
    last = connection.execute(select(func.max(row.step)).where(row.trial_id.in_(trial_ids))).scalar() or 0
    return (last - row.step) % (last // (MAX_EPOCHS + 1) + 1) == 0


def _read_curve(connection: Connection, point: Point, trial_ids: list[int], epochs: ColumnElement[bool]) -> CurveView:
    row = trial_intermediate_values.c
    value = row.intermediate_value
    rows = connection.execute(
        select(
            row.step.label("epoch"),
            func.avg(value).label("mean"),
            func.min(value).label("low"),
            func.max(value).label("high"),
            func.count().label("n"),
        )
        .where(row.trial_id.in_(trial_ids), cast(row.intermediate_value_type, String) == "FINITE", epochs)
        .group_by(row.step)
        .order_by(row.step)
    ).all()
    columns = {name: tuple(getattr(each, name) for each in rows) for name in ("epoch", "mean", "low", "high", "n")}
    return CurveView(variant=point.variant, gm=point.gm, gc=point.gc, **columns)
