"""A store as a team has it after months: one search of very many finished trials, and many searches beside it.

Trials are written into Optuna's tables by plain SQL: through Optuna, 100,000 of them would take a quarter of an hour.
"""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, insert, select, table, update
from sqlalchemy import column as named

from search.plan.selection import Candidate, choose, summarize
from search.plan.spec import SearchSpec, parse_spec
from search.plan.stages import Plan, Replicate, Stage, make_plan, select_finalists
from search.store import candidates as projection
from search.store import searches, tables
from search.store.attempts import study_name
from search.store.database import open_engine
from search.store.schema import upgrade
from trainers.recipe import find

EPOCHS = 20
BATCH = 2_000  # trials written together
GM, GC = [1, 2, 4, 8, 16], [0, 1, 2, 4, 8]
SEEDS = 63
LOST = 50  # every so manieth trial had to run twice
OURS = {"metrics": tables.metrics, "events": tables.events}
COLUMNS = {
    "studies": ("study_id", "study_name"),
    "study_directions": ("study_id", "direction", "objective"),
    "trials": ("trial_id", "number", "study_id", "state", "datetime_start", "datetime_complete"),
    "trial_params": ("trial_id", "param_name", "param_value", "distribution_json"),
    "trial_values": ("trial_id", "objective", "value", "value_type"),
    "trial_intermediate_values": ("trial_id", "step", "intermediate_value", "intermediate_value_type"),
    "trial_user_attributes": ("trial_id", "key", "value_json"),
}
INTEGERS = json.dumps({"name": "IntDistribution", "attributes": {"log": False, "step": 1, "low": 0, "high": 2000}})
Rows = dict[str, list[dict[str, Any]]]


def seed_store(url: str, trials: int, others: int) -> str:
    """Write a finished grid of about so many trials, and other finished searches; return the grid's id."""
    upgrade(url)
    engine = open_engine(url)
    with engine.begin() as connection:
        for number in range(others):
            write_finished(connection, _spec(16, name=f"search {number}", tags=[f"team-{number % 7}"]))
    with engine.begin() as connection:
        large = write_finished(connection, _spec(trials, name="the large one"))
    if engine.dialect.name == "postgresql":  # does so by itself, within a minute
        with engine.begin() as connection:
            connection.exec_driver_sql("ANALYZE")
    engine.dispose()
    return large


def _spec(trials: int, **fields: Any) -> SearchSpec:
    """Return a grid of about so many trials: as many variants as it takes, each with 25 points and up to 63 seeds."""
    points = len(GM) * len(GC)
    seeds = min(SEEDS, max(1, trials // points))
    variants = {f"v{number:03}": {} for number in range(max(1, round(trials / points / seeds)))}
    grid = {"recipe": "planted", "strategy": "grid", "gm": GM, "gc": GC, "seeds": seeds, "test_seeds": 3}
    return parse_spec({**grid, "variants": variants, **fields})


def write_finished(connection: Connection, spec: SearchSpec) -> str:
    """Store a search with all of its trials and choices."""
    plan = make_plan(spec, find(spec.recipe))
    search_id = searches.submit(connection, spec, plan, {})
    stage = plan.build_stage("grid", [])
    found = _train(connection, search_id, stage)
    assert stage.rule
    assert stage.axis
    choice = choose(found, stage.rule, stage.axis, plan.mode, stage.tolerance)
    chosen = select_finalists(stage, found, choice, plan.mode)
    searches.decide(connection, search_id, stage, choice, chosen)
    test = plan.build_stage("test", chosen)
    searches.open_stage(connection, search_id, plan, test)
    _train(connection, search_id, test)
    _end(connection, search_id, plan, test)
    return search_id


def _end(connection: Connection, search_id: str, plan: Plan, test: Stage) -> None:
    planned = plan.count_trials()["grid"] + len(test.replicates())
    now = time.time()
    times = {"started_at": now - 3600, "finished_at": now}
    here = tables.searches.c.id == search_id
    connection.execute(update(tables.searches).where(here).values(planned=planned, slots=8, status="done", **times))


def _train(connection: Connection, search_id: str, stage: Stage) -> list[Candidate]:
    """Write every trial of a stage, some of them after an attempt that was lost; return its candidates."""
    study = _next(connection, "studies", "study_id")
    direction = {"study_id": study, "direction": "MAXIMIZE", "objective": 0}
    _write(connection, {"studies": [{"study_id": study, "study_name": study_name(search_id, stage.name)}]})
    _write(connection, {"study_directions": [direction]})
    first, number = _next(connection, "trials", "trial_id"), 0
    ended: dict[Any, list[projection.Finished]] = {point: [] for point in stage.points}
    rows: Rows = {}
    for count, replicate in enumerate(stage.replicates(), 1):
        for cause in ("lost", "") if count % LOST == 0 else ("",):
            trial = _Trial(search_id, study, first + number, number, replicate, cause)
            trial.add_to(rows)
            number += 1
        ended[replicate.point].append((trial.trial_id, replicate.seed, trial.value))
        if count % BATCH == 0:
            _write(connection, rows)
    _write(connection, rows)
    found = {point: summarize(point, [value for *_, value in trials], failed=0) for point, trials in ended.items()}
    projection.rebuild(connection, search_id, stage.name, [(found[point], ended[point]) for point in found])
    return list(found.values())


@dataclass
class _Trial:
    """One attempt, and the rows that are stored of it."""

    search_id: str
    study: int
    trial_id: int
    number: int
    replicate: Replicate
    cause: str  #: why it has to run again; nothing if it finished

    @property
    def value(self) -> float:
        point, chance = self.replicate.point, random.Random(self.trial_id)
        return 0.9 + 0.01 * (point.gm > 2) + 0.005 * (point.gc > 1) + chance.gauss(0, 0.004)

    def add_to(self, rows: Rows) -> None:
        """Add what is stored of it to the rows of each table."""
        point, own = self.replicate.point, {"trial_id": self.trial_id}
        curve = [self.value * (1 - 0.5 / (epoch + 1)) for epoch in range(EPOCHS - 1)] + [self.value]
        start = datetime(2026, 1, 1) + timedelta(seconds=self.number * 8)
        state = {"state": "FAIL" if self.cause else "COMPLETE", "datetime_start": start}
        attributes = {
            "variant": point.variant,
            "epoch": 1,
            "gm_total": point.gm,
            "group_size": 64 // max(1, point.gm),
            "where": {"host": f"node-{self.number % 8}", "pid": 1000 + self.number % 8, "node": "n", "gpus": []},
            **({"cause": self.cause, "detail": "its node went away"} if self.cause else {}),
        }
        said = {**own, "stage": "grid", "gm": point.gm, "gc": point.gc, "seed": self.replicate.seed}
        new: Rows = {
            "trials": [
                {
                    **own,
                    **state,
                    "number": self.number,
                    "study_id": self.study,
                    "datetime_complete": start + timedelta(seconds=60),
                }
            ],
            "trial_params": [
                {**own, "param_name": name, "param_value": said[name], "distribution_json": INTEGERS}
                for name in ("gm", "gc", "seed")
            ],
            "trial_values": [{**own, "objective": 0, "value": self.value, "value_type": "FINITE"}],
            "trial_intermediate_values": [
                {**own, "step": epoch, "intermediate_value": value, "intermediate_value_type": "FINITE"}
                for epoch, value in enumerate(curve, 1)
            ],
            "trial_user_attributes": [
                {**own, "key": key, "value_json": json.dumps(value)} for key, value in attributes.items()
            ],
            "metrics": [
                {**own, "epoch": epoch, "figures": {"validation_accuracy": value, "train_loss": 1 - value}}
                for epoch, value in enumerate(curve, 1)
            ],
            "events": [
                {
                    "search_id": self.search_id,
                    "at": start.timestamp(),
                    "kind": "trial",
                    "detail": {**said, "what": what},
                }
                for what in ("started", self.cause or "finished")
            ],
        }
        if self.cause:
            del new["trial_values"]
        for name, of_table in new.items():
            rows.setdefault(name, []).extend(of_table)


def _next(connection: Connection, name: str, key: str) -> int:
    of = table(name, named(key))
    return int(connection.execute(select(func.coalesce(func.max(of.c[key]), 0) + 1)).scalar_one())


def _write(connection: Connection, rows: Rows) -> None:
    """Insert rows by table, and forget them."""
    for name, of_table in rows.items():
        target: Any = OURS.get(name)
        if target is None:
            target = table(name, *map(named, COLUMNS[name]))
        connection.execute(insert(target), of_table)
    rows.clear()
