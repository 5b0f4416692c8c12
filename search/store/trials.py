"""Writes trials through Optuna; the only file that imports it. Each stage is a study ``<search id>/<stage name>``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages._rdb.models import TrialIntermediateValueModel
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Engine

from search.plan.naming import Value
from search.plan.selection import Mode
from search.plan.stages import Replicate, Stage
from search.store.attempts import Attempt, list_running, read_attempts, study_name
from search.store.database import Url, engine_options, on_begin, prepare_sqlite
from search.store.leases import Lease, fence
from search.store.upsert import insert_or_ignore
from search.vocabulary.outcome import Outcome
from search.vocabulary.secret import reveal
from search.vocabulary.states import Cause

optuna.logging.set_verbosity(optuna.logging.WARNING)


def create_tables(url: Url) -> None:
    """Create Optuna's tables if they do not exist."""
    optuna.storages.RDBStorage(reveal(url), engine_kwargs=engine_options(url)).engine.dispose()


def add_intermediate_values(connection: Connection, trial_id: int, values: Mapping[int, float]) -> None:
    """Store a trial's metric by epoch as Optuna's intermediate values; existing epochs are kept, as in Optuna.

    Optuna's own method takes one epoch at a time, in a transaction of 3 ms.
    """
    rows = [
        {"trial_id": trial_id, "step": epoch, "intermediate_value": stored, "intermediate_value_type": kind}
        for epoch, value in values.items()
        for stored, kind in [TrialIntermediateValueModel.intermediate_value_to_stored_repr(value)]
    ]
    if rows:
        connection.execute(insert_or_ignore(connection, TrialIntermediateValueModel.__table__), rows)


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """The Optuna parameters of a trial."""

    values: Mapping[str, Value]
    space: Mapping[str, Sequence[Value]]  #: all that each may be in this search: Optuna keeps one range for a study

    def place(self, trial: FrozenTrial) -> None:
        """Give a trial these parameters."""
        trial.params = dict(self.values)
        trial.distributions = {name: _distribution(self.space[name]) for name in self.values}


def _distribution(values: Sequence[Value]) -> BaseDistribution:
    kinds = {type(value) for value in values}
    if kinds == {int}:
        return IntDistribution(int(min(values)), int(max(values)))
    if kinds <= {int, float}:
        return FloatDistribution(float(min(values)), float(max(values)))
    return CategoricalDistribution(tuple(dict.fromkeys(values)))


class TrialStore:
    """Writes the trials of one search, fenced by the lease of its driver."""

    def __init__(
        self,
        url: Url,
        lease: Lease,
        mode: Mode,
        hold_seconds: float | None = None,
        wait_seconds: float | None = None,
    ) -> None:
        self._storage = optuna.storages.RDBStorage(
            reveal(url),
            engine_kwargs=engine_options(url, hold_seconds, wait_seconds),
            skip_table_creation=True,
            skip_compatibility_check=True,
        )
        if self._storage.engine.name == "sqlite":
            prepare_sqlite(self._storage.engine, "BEGIN IMMEDIATE", wait_seconds=wait_seconds)
        on_begin(self._storage.engine, fence(lease))
        self._mode = mode
        self._study_ids: dict[str, int] = {}

    @property
    def engine(self) -> Engine:
        """Optuna's engine."""
        return self._storage.engine

    def close(self) -> None:
        """Close the connections."""
        self._storage.engine.dispose()

    def open_study(self, search_id: str, stage: Stage) -> None:
        """Find or create the study of a stage."""
        name = study_name(search_id, stage.name)
        try:
            self._study_ids[stage.name] = self._storage.get_study_id_from_name(name)
        except KeyError:
            direction = {"max": optuna.study.StudyDirection.MAXIMIZE, "min": optuna.study.StudyDirection.MINIMIZE}
            self._study_ids[stage.name] = self._storage.create_new_study([direction[self._mode]], name)

    def create(
        self,
        replicate: Replicate,
        parameters: Parameters,
        attributes: dict[str, Any],
        failure: Outcome | None = None,
    ) -> int:
        """Create a complete trial in one transaction; return its trial_id.

        Args:
            replicate: that it trains.
            parameters: of the trial.
            attributes: of the trial.
            failure: why it is never trained; None for a RUNNING trial.
        """
        now, ended = datetime.now(), {"cause": failure.cause, "detail": failure.detail} if failure else {}
        template = FrozenTrial(
            number=-1,  # assigned by the storage
            trial_id=-1,
            state=TrialState.FAIL if failure else TrialState.RUNNING,
            value=None,
            datetime_start=now,
            datetime_complete=now if failure else None,
            params={},
            distributions={},
            user_attrs={"variant": replicate.point.variant, **attributes, **ended},
            system_attrs={},
            intermediate_values={},
        )
        parameters.place(template)
        return self._storage.create_new_trial(self._study_ids[replicate.stage], template)

    def link(self, replicate: Replicate, parameters: Parameters, source: str, original: int) -> int:
        """Copy a finished trial in one transaction; return the copy's trial_id.

        Args:
            replicate: that the copy stands for.
            parameters: of the copy.
            source: search and stage of the original.
            original: its trial_id.
        """
        trial = self._storage.get_trial(original)
        kept = {key: value for key, value in trial.user_attrs.items() if key not in ("epoch", "reused_from")}
        trial.user_attrs = {**kept, "reused_from": trial.user_attrs.get("reused_from", f"{source}/{trial.number}")}
        parameters.place(trial)
        return self._storage.create_new_trial(self._study_ids[replicate.stage], trial)

    def set_attribute(self, trial_id: int, key: str, value: Any) -> None:
        """Set a user attribute of a running trial."""
        self._storage.set_trial_user_attr(trial_id, key, value)

    def read_detail(self, trial_id: int) -> str:
        """Return why a trial failed, for users."""
        return str(self._storage.get_trial(trial_id).user_attrs.get("detail", ""))

    def end(self, trial_id: int, outcome: Outcome, again: bool = False) -> None:
        """Complete a trial with its value, or fail it with a cause and details for users.

        ``again`` if an earlier call raised, which the database may have committed nevertheless.
        """
        if again and self._storage.get_trial(trial_id).state.is_finished():
            return
        if outcome.cause is None:
            assert outcome.value is not None
            self._storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [outcome.value])
            return
        self._storage.set_trial_user_attr(trial_id, "cause", outcome.cause)
        if outcome.detail:
            self._storage.set_trial_user_attr(trial_id, "detail", outcome.detail)
        self._storage.set_trial_state_values(trial_id, TrialState.FAIL)

    def end_running(self, search_id: str, detail: str) -> None:
        """Fail all trials that an earlier driver left running, with cause ``lost``: their replicates run again."""
        with self._storage.engine.begin() as connection:
            left = list(list_running(connection, search_id))
        for trial_id in left:
            self.end(trial_id, Outcome(cause=Cause.LOST, detail=detail), again=True)

    def newest(self, search_id: str, replicate: Replicate) -> Attempt | None:
        """Return the newest trial of a replicate; None if it has none."""
        found = [each for each in self.attempts(search_id, replicate.stage) if each.replicate == replicate]
        return found[-1] if found else None

    def attempts(self, search_id: str, stage: str) -> list[Attempt]:
        """Return all trials of a stage, oldest first."""
        with self._storage.engine.begin() as connection:
            return list(read_attempts(connection, search_id, stage))
