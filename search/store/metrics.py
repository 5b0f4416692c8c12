"""Per-epoch figures, beside Optuna's intermediate values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, literal, select

from search.store.tables import metrics
from search.store.upsert import insert_or_ignore
from search.views import EpochView


def add_metrics(connection: Connection, trial_id: int, epochs: Mapping[int, Mapping[str, Any]]) -> None:
    """Store a trial's figures by epoch; an epoch that is stored stays as it is."""
    rows = [
        {"trial_id": trial_id, "epoch": epoch, "figures": {name: _json(value) for name, value in figures.items()}}
        for epoch, figures in epochs.items()
    ]
    connection.execute(insert_or_ignore(connection, metrics), rows)


def copy_metrics(connection: Connection, copies: Mapping[int, int]) -> None:
    """Give copies of trials the figures of their originals, by trial_id; what a copy has stays as it is."""
    for copy, original in copies.items():
        figures = select(literal(copy), metrics.c.epoch, metrics.c.figures).where(metrics.c.trial_id == original)
        columns = ["trial_id", "epoch", "figures"]
        connection.execute(insert_or_ignore(connection, metrics).from_select(columns, figures))


def read_metrics(connection: Connection, trial_id: int) -> list[EpochView]:
    """Return a trial's metrics, an epoch each, in order."""
    rows = connection.execute(
        select(metrics.c.epoch, metrics.c.figures).where(metrics.c.trial_id == trial_id).order_by(metrics.c.epoch)
    )
    return [EpochView(epoch=row.epoch, values=row.figures) for row in rows]


def _json(value: object) -> object:
    """Spell out what JSON has no number for."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
