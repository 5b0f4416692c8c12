"""The state of a driver's search, written through to the store: starts, metrics and ends of trials."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from search.engine.checkpoints import Checkpoints
from search.engine.pace import Pace
from search.plan.naming import VARIANT, Value
from search.plan.rounds import Decision
from search.plan.selection import Candidate, Choice, Point, summarize
from search.plan.stages import TEST, Plan, Replicate, Stage, count_groups
from search.plan.strategies.axes import GROUPS
from search.store import candidates as projection
from search.store import leases, progress, searches
from search.store.database import Connection, Url, on_begin, open_engine
from search.store.events import add_event
from search.store.metrics import UNSTORABLE, add_metrics, copy_metrics
from search.store.patience import Patience
from search.store.provenance import resolve_all_numbers
from search.store.reuse import ReusableTrials
from search.store.trials import Parameters, TrialStore, add_intermediate_values
from search.vocabulary.errors import SearchError
from search.vocabulary.outcome import LARGEST_VALUE, Outcome, is_comparable, last_line, printable
from search.vocabulary.states import Cause, EventKind, TrialState
from trainers.recipe import Recipe
from trainers.trial import Measure


class TooManyFailures(SearchError):
    """Too many trials failed in a row, so the search is paused."""


MAX_PROCESS_LOSSES = 3  # after the third lost process a replicate fails


class Recorder:
    """Keeps the state of all replicates in memory and writes every change to SQL, fenced by the lease.

    Thread-safe: a lock makes each method atomic.
    """

    def __init__(
        self,
        url: Url,
        lease: leases.Lease,
        recipe: Recipe,
        plan: Plan,
        checkpoints: Checkpoints | None = None,
        hold_seconds: float | None = None,
        patiently: Patience | None = None,
    ) -> None:
        self._search_id = lease.search_id
        self._epoch = lease.epoch
        self._recipe = recipe
        self._plan = plan
        self._checkpoints = checkpoints
        self._patiently = patiently or Patience(0)
        self.pace = Pace()  #: of the running trials
        self._failures_in_a_row = 0
        self._location_recorded = False  # whether any trial has started in its process
        self._lock = threading.RLock()
        self.engine = open_engine(url, hold_seconds=hold_seconds)
        on_begin(self.engine, leases.fence(lease))
        self._trials = TrialStore(url, lease, recipe.mode, hold_seconds)
        self._stages: dict[str, _StageState] = {}
        self._running: dict[int, Replicate] = {}
        self._unstorable: dict[int, str] = {}  # why metrics of running trials could not be stored
        self._space = _parameter_space(plan)
        self._reusable = ReusableTrials()  # of its parent and of its own stages
        self._patiently(lambda _: self._trials.end_running(self._search_id, "its driver was lost"))
        self.write(self._read_search)

    def _read_search(self, connection: Connection) -> None:
        self._decisions = {each.stage: each for each in searches.decisions(connection, self._search_id)}
        search = searches.get(connection, self._search_id)
        if not search.numbers:
            numbers = resolve_all_numbers(self._plan.spec, self._recipe)
            searches.set_measure(connection, self._search_id, self._plan, numbers)
        progress.clear(connection, self._search_id)
        self._retried_upto = search.retried_upto
        self._samples = search.samples
        if search.parent:
            self._reusable = ReusableTrials.read(connection, search.parent, search.digest)
        if self._reusable.samples and not self._samples:
            self._samples = self._reusable.samples
            searches.set_samples(connection, self._search_id, self._samples)

    def write(self, write: Callable[[Connection], None]) -> None:
        """Run a transaction that may be run again: the database may commit it and lose the answer."""

        def call(_: bool) -> None:
            with self.engine.begin() as connection:
                write(connection)

        self._patiently(call)

    def _create(self, replicate: Replicate, create: Callable[[], int], state: TrialState) -> int:
        """Create a trial; if the answer to an earlier try was lost, find the trial that it created."""

        def call(again: bool) -> int:
            created = self._trials.newest(self._search_id, replicate) if again else None
            if created is None or created.state != state or created.cause not in (None, Cause.REFUSED):
                return create()  # what it was before
            is_known = created.trial_id in self._running or created.trial_id <= self._retried_upto
            return create() if is_known else created.trial_id

        return self._patiently(call)

    def close(self) -> None:
        """Close the connections."""
        self._trials.close()
        self.engine.dispose()

    # Called by run_sequence

    def open(self, stage: Stage) -> None:
        """Make the unfinished replicates of a stage available."""
        with self._lock:
            if stage.name not in self._stages:
                self._stages[stage.name] = self._load_stage(stage)
            self._stages[stage.name].add(stage.replicates())
            self._reuse(stage)
            for point in self._stages[stage.name].refusals:  # its driver may have been lost in the middle
                self._put_out(stage.name, point)

    def _reuse(self, stage: Stage) -> None:
        """Link finished trials of the parent and of earlier stages instead of training them."""
        state, linked = self._stages[stage.name], False
        copies: dict[int, int] = {}
        for replicate in stage.replicates():
            original = self._reusable.find(replicate)
            if original is None or (original.replicate.stage == stage.name and original.search_id == self._search_id):
                continue
            if replicate in state.unfinished:
                link = partial(
                    self._trials.link, replicate, self._parameters(replicate), original.source, original.trial_id
                )
                copy = self._create(replicate, link, TrialState.COMPLETE)
                state.end(replicate, Outcome(value=original.value), copy)
                linked = True
            elif (found := state.copies.pop(replicate, None)) is not None:
                copy = found  # of a driver that may have been lost before it copied the metrics
            else:
                continue
            copies[copy] = original.trial_id
            if self._checkpoints and stage.name == TEST:
                self._checkpoints.link_from(
                    replicate, self._checkpoints.for_search(original.search_id), original.replicate
                )

        def write(connection: Connection) -> None:
            copy_metrics(connection, copies)
            if linked:
                projection.rebuild(connection, self._search_id, stage.name, map(state.summary, state.points))
                add_event(connection, self._search_id, EventKind.REUSED, {"stage": stage.name, "trials": len(copies)})

        if copies:
            self.write(write)

    def _parameters(self, replicate: Replicate) -> Parameters:
        values = {**self._plan.read_values(replicate.point), "seed": replicate.seed}
        return Parameters(values=values, space=self._space)

    def finished(self, stage: Stage) -> bool:
        """Return whether all replicates of a stage have ended and none runs again."""
        with self._lock:
            return not self._stages[stage.name].unfinished

    def next_missing(self, stage: Stage) -> Replicate | None:
        """Return a replicate that neither runs nor has ended; None if there is none."""
        with self._lock:
            return self._stages[stage.name].pop_waiting()

    def candidates(self, stage: Stage) -> list[Candidate]:
        """Summarize the points of a stage."""
        with self._lock:
            return [self._stages[stage.name].candidate(point) for point in stage.points]

    def candidate(self, point: Point | None) -> Candidate | None:
        """Summarize the point that the previous tuning stage kept."""
        with self._lock:
            if point is None:
                return None
            found = [state.candidate(point) for name, state in self._stages.items() if name != "test"]
            return next((candidate for candidate in found if candidate.n), None)

    def samples(self, stage: Stage) -> int | None:
        """Return the size of the evaluation set if the metric is an accuracy; None if that is unknown."""
        with self._lock:
            return self._samples.get(stage.measure) if self._plan.mode == "max" else None

    def most_common_failure(self, stage: Stage) -> str:
        """Describe the most common failure of a stage's trials; empty if none failed."""
        with self._lock:
            failures = Counter(self._stages[stage.name].failures())
        if not failures:
            return ""
        (failure, count), *_ = failures.most_common(1)
        return f"{count} of {failures.total()} failed trials: {failure.removesuffix('.')}."

    def decision(self, stage: Stage) -> Decision | None:
        """Return what a stage passed on; None if it is not decided."""
        return self._decisions.get(stage.name)

    def decide(self, stage: Stage, choice: Choice, decision: Decision, following: Stage) -> None:
        """Store a choice and the next stage, atomically and only once."""

        def decide(again: bool) -> None:
            with self.engine.begin() as connection:
                if again and stage.name in searches.choices(connection, self._search_id):
                    return  # it was committed, and the answer was lost
                searches.decide(connection, self._search_id, stage, choice, decision.finalists)
                searches.open_stage(connection, self._search_id, self._plan, following)
                decided = searches.decisions(connection, self._search_id)
                planned = self._plan.count_replicates(decided)
                searches.set_planned(connection, self._search_id, sum(planned.values()))

        with self._lock:
            self._patiently(decide)

    # Called by the executor

    def start(self, replicate: Replicate) -> int:
        """Store that a trial starts; return its trial_id."""
        with self._lock:
            numbers = self._resolve_numbers(replicate)
            attributes = self._attributes(replicate, numbers)
            create = partial(self._trials.create, replicate, self._parameters(replicate), attributes)
            trial_id = self._create(replicate, create, TrialState.RUNNING)
            self._running[trial_id] = replicate
            self.pace.start(trial_id, getattr(numbers, "epochs", None))
            self.write(lambda connection: self._add_trial_event(connection, trial_id, replicate, "started"))
            return trial_id

    def _resolve_numbers(self, replicate: Replicate) -> Any:
        return self._plan.spec.resolve_numbers(self._recipe, replicate.point.variant, replicate.measure)

    def _attributes(self, replicate: Replicate, numbers: Any) -> dict[str, int | None]:
        return {"epoch": self._epoch, **count_groups(replicate.point, numbers)}

    def _put_out(self, stage: str, point: Point) -> None:
        """End what waits of a point that the layers refuse: its other seeds would be refused, too."""
        state = self._stages[stage]
        refusal, replicates = state.refusals[point], state.waiting(point)
        created: dict[int, Replicate] = {}
        for replicate in replicates:
            attributes = self._attributes(replicate, self._resolve_numbers(replicate))
            create = partial(self._trials.create, replicate, self._parameters(replicate), attributes, refusal)
            trial_id = self._create(replicate, create, TrialState.FAIL)
            state.end(replicate, refusal, trial_id)
            created[trial_id] = replicate

        def write(connection: Connection) -> None:
            projection.save(connection, self._search_id, stage, *state.summary(point))
            for trial_id, replicate in created.items():
                self._add_trial_event(connection, trial_id, replicate, Cause.REFUSED)

        if created:
            self.write(write)

    def record_location(self, trial_id: int, where: Mapping[str, Any]) -> None:
        """Store where a trial runs: host, pid, node, GPUs."""
        with self._lock:
            self._patiently(lambda _: self._trials.set_attribute(trial_id, "where", dict(where)))
            if not self._location_recorded:
                self._location_recorded = True
                self.write(lambda connection: searches.clear_reason(connection, self._search_id))

    def report(self, trial_id: int, epochs: Mapping[int, Mapping[str, float]]) -> None:
        """Store metrics of a running trial by epoch, in one transaction; a trial whose metrics do not fit fails."""
        name = f"validation_{self._recipe.metric}"
        reported = {epoch: figures.get(name, figures.get(self._recipe.metric)) for epoch, figures in epochs.items()}
        values = {epoch: _bounded(value) for epoch, value in reported.items() if value is not None}
        with self._lock:
            if not epochs or trial_id not in self._running:
                return

            def write(connection: Connection) -> None:
                add_intermediate_values(connection, trial_id, values)
                add_metrics(connection, trial_id, epochs)

            self.pace.report(trial_id, epochs)
            try:
                self.write(write)
            except UNSTORABLE as error:
                why = getattr(error, "orig", error)  # without SQLAlchemy's words around it
                self._unstorable.setdefault(trial_id, f"its metrics could not be stored: {why}")

    def finish(self, trial_id: int, outcome: Outcome) -> Outcome:
        """Store the outcome of a trial and the new summary of its candidate; return the outcome as stored."""
        with self._lock:
            replicate = self._running.pop(trial_id)
            state = self._stages[replicate.stage]
            if trial_id in self._unstorable:
                outcome = Outcome(cause=Cause.RAISED, detail=self._unstorable.pop(trial_id))
            outcome = replace(outcome, detail=printable(outcome.detail))
            if outcome.cause == Cause.LOST and state.count_loss(replicate) >= MAX_PROCESS_LOSSES:
                outcome = Outcome(cause=Cause.CRASH_LOOP, detail=outcome.detail)
            if outcome.cause is None and (outcome.value is None or not is_comparable(outcome.value)):
                outcome = Outcome(cause=Cause.DIVERGED, detail=f"the metric is not finite: {outcome.value}")
            self._patiently(lambda again: self._trials.end(trial_id, outcome, again))
            state.end(replicate, outcome, trial_id)
            self._note(replicate, outcome, trial_id)
            self.pace.end(trial_id, finished=outcome.cause is None)
            counted = self._count_samples(replicate, outcome)

            def write(connection: Connection) -> None:
                if counted:
                    searches.set_samples(connection, self._search_id, self._samples)
                if not outcome.runs_again:
                    projection.save(connection, self._search_id, replicate.stage, *state.summary(replicate.point))
                self._add_trial_event(connection, trial_id, replicate, outcome.cause or Cause.FINISHED)

            self.write(write)
            if replicate.point in state.refusals:
                self._put_out(replicate.stage, replicate.point)
            if self._checkpoints and not outcome.runs_again:
                self._checkpoints.remove_unneeded(replicate)
            self._count_failure(outcome)
            return outcome

    def _count_samples(self, replicate: Replicate, outcome: Outcome) -> bool:
        """Keep the number of samples that an accuracy was measured on, of a split the smallest; return if it is new."""
        measure: Measure = "test" if replicate.stage == TEST else "validation"
        if not outcome.samples or outcome.samples >= self._samples.get(measure, math.inf):
            return False
        self._samples[measure] = outcome.samples
        return True

    def _add_trial_event(self, connection: Connection, trial_id: int, replicate: Replicate, what: str) -> None:
        """Add an event about a trial for followers of the search."""
        detail = {"trial_id": trial_id, "stage": replicate.stage, **asdict(replicate.point), "seed": replicate.seed}
        add_event(connection, self._search_id, EventKind.TRIAL, detail | {"what": what})

    def _count_failure(self, outcome: Outcome) -> None:
        if outcome.cause is None:
            self._failures_in_a_row = 0
        elif not outcome.runs_again and outcome.cause != Cause.REFUSED:  # which says nothing about other points
            self._failures_in_a_row += 1
            if self._failures_in_a_row >= self._plan.spec.max_failures_in_a_row:
                raise TooManyFailures(
                    f"{self._failures_in_a_row} trials in a row failed, the last one: {outcome.cause}: "
                    f"{last_line(outcome.detail)}"
                )

    def requeue(self, replicate: Replicate) -> None:
        """Make an assigned replicate that never started available again."""
        with self._lock:
            self._stages[replicate.stage].put_back(replicate)

    def interrupt(self, cause: Cause, detail: str) -> int:
        """End all running trials with a cause that lets them run again; return their number."""
        with self._lock:
            running = list(self._running)
            for trial_id in running:
                self.finish(trial_id, Outcome(cause=cause, detail=detail))
            return len(running)

    # Takeover

    def _load_stage(self, stage: Stage) -> _StageState:
        """Load a stage from its trials."""
        self._patiently(lambda _: self._trials.open_study(self._search_id, stage))
        state = _StageState()
        for attempt in self._patiently(lambda _: self._trials.attempts(self._search_id, stage.name)):
            cause = attempt.cause
            if cause is not None and attempt.trial_id <= self._retried_upto:
                cause = Cause.LOST  # a retry was requested
            detail = self._read_detail(attempt.trial_id) if cause == Cause.REFUSED else ""
            outcome = Outcome(value=attempt.value, cause=cause, detail=detail)
            state.end(attempt.replicate, outcome, attempt.trial_id)
            self._note(attempt.replicate, outcome, attempt.trial_id)
            if attempt.reused:
                state.copies[attempt.replicate] = attempt.trial_id

        def write(connection: Connection) -> None:
            projection.rebuild(connection, self._search_id, stage.name, map(state.summary, state.points))
            add_event(connection, self._search_id, EventKind.OPENED, {"stage": stage.name})

        self.write(write)
        return state

    def _note(self, replicate: Replicate, outcome: Outcome, trial_id: int) -> None:
        """Let later stages link a trial if it has finished."""
        if outcome.cause is None:
            self._reusable.add(self._search_id, replicate, trial_id, outcome.value)

    def _read_detail(self, trial_id: int) -> str:
        return self._patiently(lambda _: self._trials.read_detail(trial_id))


class _StageState:
    """The replicates of one stage: waiting, assigned, or ended."""

    def __init__(self) -> None:
        self.unfinished: set[Replicate] = set()
        self._waiting: dict[Replicate, None] = {}  # in order
        self._ended: dict[Replicate, Outcome] = {}
        self._losses: dict[Replicate, int] = {}
        self.copies: dict[Replicate, int] = {}  # loaded ones, by trial_id
        self.refusals: dict[Point, Outcome] = {}  # of points that the layers refuse, whatever the seed
        self._by_point: dict[Point, dict[int, tuple[Outcome, int]]] = {}  # by seed, with the trial_id

    @property
    def points(self) -> Iterable[Point]:
        return self._by_point

    def add(self, replicates: Iterable[Replicate]) -> None:
        for replicate in replicates:
            if replicate not in self._ended and replicate not in self.unfinished:
                self.unfinished.add(replicate)
                self._waiting[replicate] = None

    def pop_waiting(self) -> Replicate | None:
        for replicate in self._waiting:
            del self._waiting[replicate]
            return replicate
        return None

    def waiting(self, point: Point) -> list[Replicate]:
        return [replicate for replicate in self._waiting if replicate.point == point]

    def put_back(self, replicate: Replicate) -> None:
        self._waiting = {replicate: None, **self._waiting}

    def count_loss(self, replicate: Replicate) -> int:
        self._losses[replicate] = self._losses.get(replicate, 0) + 1
        return self._losses[replicate]

    def end(self, replicate: Replicate, outcome: Outcome, trial_id: int) -> None:
        if outcome.runs_again:
            if replicate in self.unfinished:
                self.put_back(replicate)  # run it next, from its checkpoint
            return
        self._ended[replicate] = outcome
        if outcome.cause == Cause.REFUSED:
            self.refusals.setdefault(replicate.point, outcome)
        self._by_point.setdefault(replicate.point, {})[replicate.seed] = outcome, trial_id
        self.unfinished.discard(replicate)
        self._waiting.pop(replicate, None)

    def failures(self) -> list[str]:
        failed = [outcome for outcome in self._ended.values() if outcome.cause is not None]
        return [f"{f.cause}: {last_line(f.detail)}".removesuffix(": ") for f in failed]

    def candidate(self, point: Point) -> Candidate:
        return self.summary(point)[0]

    def summary(self, point: Point) -> tuple[Candidate, list[projection.Finished]]:
        """Return the summary of a point and its finished trials."""
        ended = self._by_point.get(point, {})
        finished = [
            (trial_id, seed, outcome.value)
            for seed, (outcome, trial_id) in ended.items()
            if outcome.cause is None and outcome.value is not None
        ]
        values = {seed: value for _, seed, value in finished}
        summary = summarize(point, values, failed=len(ended) - len(values))
        refused = last_line(self.refusals[point].detail) if point in self.refusals else ""
        return replace(summary, refused=refused), finished


def _bounded(value: float) -> float:
    """Return a metric that curves can average in SQL, which skips infinite ones and fails if a sum overflows."""
    return math.copysign(math.inf, value) if abs(value) > LARGEST_VALUE else value


def _parameter_space(plan: Plan) -> dict[str, Sequence[Value]]:
    """Return all that each Optuna parameter may be, over all stages; without normalization there are 0 groups."""
    spec = plan.spec
    groups = {axis.name: (0, axis.start, *axis.values) for axis in plan.axes if axis.name in GROUPS}
    further: dict[str, Sequence[Value]] = {
        axis.name: (axis.start, *axis.values, *([spec.own_variant] if axis.name == VARIANT else []))
        for axis in plan.axes
        if axis.name not in GROUPS
    }
    return {**groups, **further, "seed": (0, *spec.seeds, *spec.test_seed_values)}
