"""Learning curves: the metric by epoch, the seeds of a point taken together in SQL."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, String, cast, func, select
from sqlalchemy.orm import aliased

from search.store.attempts import study_name
from search.store.searches import get
from search.store.tables import studies, trial_intermediate_values, trial_params, trial_user_attributes, trials


def learning_curves(connection: Connection, search_id: str, stage: str) -> list[dict[str, Any]]:
    """Return a curve for each point of a stage: at every epoch the mean, least and greatest metric over its seeds.

    Attempts that run again are left out; an epoch at which a seed has no finite metric counts the others.

    Raises:
        NotFound: if no search has that id.
    """
    get(connection, search_id)
    gm, gc = aliased(trial_params), aliased(trial_params)
    value, epoch = trial_intermediate_values.c.intermediate_value, trial_intermediate_values.c.step
    variant = trial_user_attributes.c.value_json
    rows = connection.execute(
        select(
            variant,
            gm.c.param_value.label("gm"),
            gc.c.param_value.label("gc"),
            epoch,
            func.avg(value).label("mean"),
            func.min(value).label("low"),
            func.max(value).label("high"),
            func.count().label("n"),
        )
        .select_from(trials)
        .join(studies, studies.c.study_id == trials.c.study_id)
        .join(gm, (gm.c.trial_id == trials.c.trial_id) & (gm.c.param_name == "gm"))
        .join(gc, (gc.c.trial_id == trials.c.trial_id) & (gc.c.param_name == "gc"))
        .join(
            trial_user_attributes,
            (trial_user_attributes.c.trial_id == trials.c.trial_id) & (trial_user_attributes.c.key == "variant"),
        )
        .join(trial_intermediate_values, trial_intermediate_values.c.trial_id == trials.c.trial_id)
        .where(studies.c.study_name == study_name(search_id, stage))
        .where(cast(trials.c.state, String).in_(("COMPLETE", "RUNNING")))
        .where(cast(trial_intermediate_values.c.intermediate_value_type, String) == "FINITE")
        .group_by(variant, gm.c.param_value, gc.c.param_value, epoch)
        .order_by(variant, gm.c.param_value, gc.c.param_value, epoch)
    )
    curves: dict[tuple[str, int, int], dict[str, Any]] = {}
    for row in rows:
        point = (json.loads(row.value_json), int(row.gm), int(row.gc))
        if point not in curves:
            curves[point] = dict(zip(("variant", "gm", "gc"), point, strict=True))
            curves[point] |= {name: [] for name in ("epoch", "mean", "low", "high", "n")}
        curve = curves[point]
        for name in ("mean", "low", "high", "n"):
            curve[name].append(getattr(row, name))
        curve["epoch"].append(row.step)
    return list(curves.values())
