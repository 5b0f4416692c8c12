"""What a run leaves in the database, among the processes and on the disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Engine, text

from search.store.database import now  # the clock that leases are on
from search.store.tables import searches

RUNS_AGAIN = ("lost", "cancelled")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A row of Optuna's table."""

    trial_id: int
    stage: str
    number: int
    key: str  #: of the replicate
    gm: int
    gc: int
    seed: int
    state: str
    value: float | None
    cause: str | None
    epoch: int | None  #: of the lease that it was created under; None for a copy

    @property
    def is_final(self) -> bool:
        """Whether its replicate does not run again by itself."""
        return self.state == "COMPLETE" or (self.state == "FAIL" and self.cause not in RUNS_AGAIN)


@dataclass(frozen=True, kw_only=True)
class Search:
    """A row of our table, and what belongs to it."""

    id: str
    name: str
    status: str
    reason: str = ""
    requested: str | None = None
    epoch: int = 1
    held: bool = False
    archived: bool = False
    parent: str | None = None
    trials: tuple[Trial, ...] = ()
    planned: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  #: keys of the replicates of each stage
    chosen: Mapping[str, str] = field(default_factory=dict)  #: gm and gc that each decided stage chose
    counts: Mapping[str, tuple[int, int]] = field(default_factory=dict)  #: finished and failed trials of each point

    @property
    def ended(self) -> bool:
        return self.status in ("done", "failed", "cancelled")


@dataclass(frozen=True, kw_only=True)
class Remains:
    """Everything that is left."""

    searches: tuple[Search, ...]
    processes: tuple[str, ...] = ()  #: command lines of processes that nobody ended
    files: tuple[str, ...] = ()  #: that nobody removed
    leaks: tuple[str, ...] = ()  #: places where a secret is

    def find(self, search_id: str) -> Search | None:
        return next((search for search in self.searches if search.id == search_id), None)


def read_searches(engine: Engine) -> tuple[Search, ...]:
    """Read all searches and their trials, by plain SQL: what checks the store does not use it."""
    with engine.connect() as connection:
        held = connection.execute(
            searches.select().with_only_columns(searches.c.id, (searches.c.lease_until > now()).label("held"))
        )
        holding = {row.id for row in held if row.held}
        found = connection.execute(text("SELECT * FROM searches ORDER BY created_at")).all()
        return tuple(
            Search(
                id=row.id,
                name=row.name,
                status=row.status,
                reason=row.reason,
                requested=row.requested_status,
                epoch=row.epoch,
                held=row.id in holding,
                archived=row.archived_at is not None,
                parent=row.parent,
                trials=_read_trials(connection, row.id),
                **_read_stages(connection, row.id),
                counts={
                    point_key(each.stage, each.variant, each.gm, each.gc): (each.n, each.failed)
                    for each in connection.execute(
                        text("SELECT * FROM candidates WHERE search_id = :id"), {"id": row.id}
                    )
                },
            )
            for row in found
        )


def point_key(stage: str, variant: str, gm: int, gc: int) -> str:
    return f"{stage}-{variant}-gm{gm}-gc{gc}"


TRIALS = """
SELECT t.trial_id, t.number, CAST(t.state AS VARCHAR) AS state, s.study_name, v.value,
       (SELECT param_value FROM trial_params p WHERE p.trial_id = t.trial_id AND param_name = 'gm') AS gm,
       (SELECT param_value FROM trial_params p WHERE p.trial_id = t.trial_id AND param_name = 'gc') AS gc,
       (SELECT param_value FROM trial_params p WHERE p.trial_id = t.trial_id AND param_name = 'seed') AS seed
FROM trials t JOIN studies s ON s.study_id = t.study_id LEFT JOIN trial_values v ON v.trial_id = t.trial_id
WHERE s.study_name LIKE :studies ORDER BY t.trial_id
"""
ATTRIBUTES = """
SELECT a.trial_id, a.key, a.value_json FROM trial_user_attributes a JOIN trials t ON t.trial_id = a.trial_id
JOIN studies s ON s.study_id = t.study_id WHERE s.study_name LIKE :studies
"""


def _read_trials(connection, search_id: str) -> tuple[Trial, ...]:
    given = {"studies": f"{search_id}/%"}
    attributes: dict[int, dict[str, object]] = {}
    for row in connection.execute(text(ATTRIBUTES), given):
        attributes.setdefault(row.trial_id, {})[row.key] = json.loads(row.value_json)
    trials = []
    for row in connection.execute(text(TRIALS), given):
        own, stage = attributes.get(row.trial_id, {}), row.study_name.partition("/")[2]
        gm, gc, seed = int(row.gm), int(row.gc), int(row.seed)
        trials.append(
            Trial(
                trial_id=row.trial_id,
                stage=stage,
                number=row.number,
                key=f"{point_key(stage, str(own.get('variant')), gm, gc)}-seed{seed}",
                gm=gm,
                gc=gc,
                seed=seed,
                state=row.state,
                value=row.value,
                cause=own.get("cause"),
                epoch=own.get("epoch"),
            )
        )
    return tuple(trials)


def _read_stages(connection, search_id: str) -> dict[str, dict]:
    planned, chosen = {}, {}
    for row in connection.execute(text("SELECT * FROM stages WHERE search_id = :id"), {"id": search_id}):
        plan, choice = (json.loads(each) if isinstance(each, str) else each for each in (row.plan, row.choice))
        planned[row.name] = tuple(
            f"{point_key(row.name, point['variant'], point['gm'], point['gc'])}-seed{seed}"
            for point in plan["points"]
            for seed in plan["seeds"]
        )
        if choice:
            chosen[row.name] = f"gm{choice['point']['gm']} gc{choice['point']['gc']}"
    return {"planned": planned, "chosen": chosen}
