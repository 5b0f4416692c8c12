"""Metrics by epoch, in addition to Optuna's intermediate values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, literal, select
from sqlalchemy.exc import DataError, IntegrityError

from search.store.tables import metrics
from search.store.upsert import insert_or_ignore
from search.views import EpochView

UNSTORABLE = (DataError, IntegrityError, ValueError, TypeError, OverflowError)  # raised for values that do not fit


def add_metrics(connection: Connection, trial_id: int, epochs: Mapping[int, Mapping[str, Any]]) -> None:
    """Store a trial's metrics by epoch; existing epochs are kept."""
    rows = [
        {"trial_id": trial_id, "epoch": epoch, "figures": {name: _json(value) for name, value in figures.items()}}
        for epoch, figures in epochs.items()
    ]
    connection.execute(insert_or_ignore(connection, metrics), rows)


def copy_metrics(connection: Connection, copies: Mapping[int, int]) -> None:
    """Copy metrics from original trials to their copies, by trial_id; existing epochs are kept."""
    for copy, original in copies.items():
        figures = select(literal(copy), metrics.c.epoch, metrics.c.figures).where(metrics.c.trial_id == original)
        columns = ["trial_id", "epoch", "figures"]
        connection.execute(insert_or_ignore(connection, metrics).from_select(columns, figures))


def read_metrics(connection: Connection, trial_id: int) -> list[EpochView]:
    """Return a trial's metrics in order of epochs."""
    rows = connection.execute(
        select(metrics.c.epoch, metrics.c.figures).where(metrics.c.trial_id == trial_id).order_by(metrics.c.epoch)
    )
    return [EpochView(epoch=row.epoch, values=row.figures) for row in rows]


def _json(value: object) -> object:
    """Return non-finite numbers as text, which JSON needs."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
