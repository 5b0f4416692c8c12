"""What of the executor needs no cluster: causes of death, and Tune's own controller with its processes
simulated. Whole searches on a real Ray are in test_engine.py.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.train._internal import storage
from ray.tune import CheckpointConfig, PlacementGroupFactory
from ray.tune.execution import tune_controller
from ray.tune.experiment import Experiment
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import SearchGenerator
from ray.tune.trainable import Trainable

from search.engine import ray_environment, ray_executor
from search.engine.ray_executor import (
    PatientScheduler,
    ProcessCallback,
    ReplicateSearcher,
    SearchStopper,
    classify_process_loss,
)
from search.engine.slots import Slots
from search.engine.trial_process import TrialJob
from search.plan.stages import Replicate
from search.vocabulary.outcome import Outcome
from search.vocabulary.states import Cause
from tests.search.engine.test_slots import Record as Stages
from tests.search.engine.test_slots import replicate
from tests.search.simulated_processes import END, Processes

# Deaths


@pytest.mark.parametrize(
    ("error", "cause", "detail"),
    [
        ("Traceback …\nray.exceptions.OutOfMemoryError: Task was killed\n", Cause.OUT_OF_MEMORY, "Task was killed"),
        ("the node running low on memory", Cause.OUT_OF_MEMORY, "low on memory"),
        ("The actor died because its node has died. Node Id: 4f", Cause.LOST, "its node was lost"),
        ("Traceback …\nRayActorError: died unexpectedly\n\n", Cause.LOST, "its process died: RayActorError: died unex"),
        ("", Cause.LOST, "its process died: "),
    ],
)
def test_a_death_has_the_cause_that_rays_words_tell(error: str, cause: Cause, detail: str) -> None:
    outcome = classify_process_loss(error, seconds=10, timeout=None)
    assert outcome.cause == cause
    assert detail in outcome.detail


def test_a_death_after_the_timeout_is_that() -> None:
    outcome = classify_process_loss("node has died", seconds=60.0, timeout=60)
    assert outcome == Outcome(cause=Cause.TIMEOUT, detail="no end after 60 s; the log shows where it was")
    assert classify_process_loss("node has died", seconds=59.9, timeout=60).cause == Cause.LOST


# What the record is told


class MemoryRecord:
    """Keeps what it is told of trials."""

    def __init__(self, *sizes: int) -> None:
        self.stages = Stages(*sizes)
        self.work = self.stages.work()
        self.started: list[Replicate] = []
        self.outcomes: list[tuple[Replicate, Outcome]] = []

    def start(self, replicate: Replicate) -> int:
        self.started.append(replicate)
        return len(self.started)

    def record_location(self, trial_id: int, where: dict[str, Any]) -> None: ...

    def report(self, trial_id: int, epochs: dict[int, dict[str, Any]]) -> None: ...

    def finish(self, trial_id: int, outcome: Outcome) -> Outcome:
        replicate = self.started[trial_id - 1]
        self.outcomes.append((replicate, outcome))
        if outcome.runs_again:
            self.stages.requeue(replicate)
        else:
            self.stages.ended.append(replicate)
        return outcome

    def requeue(self, replicate: Replicate) -> None:
        self.stages.requeue(replicate)


def make_job(replicate: Replicate) -> TrialJob:
    return TrialJob(
        recipe="planted", overrides={}, gm=1, gc=0, seed=replicate.seed, normalize=True, measure="validation",
        folder="", log="",
    )  # fmt: skip


def searcher_of(record: MemoryRecord, count: int, count_slots: Callable[[], int] | None = None) -> ReplicateSearcher:
    slots = Slots(record.work, count)
    return ReplicateSearcher(slots, make_job, record, threading.Event(), count_slots or (lambda: count))


def begin_training(searcher: ReplicateSearcher, trial: str) -> None:
    """Have a slot's process start, stop waiting and train."""
    searcher.suggest(f"{trial}, waiting")
    searcher.start(f"{trial}, waiting")
    assert searcher.should_stop_waiting(f"{trial}, waiting")
    searcher.on_trial_complete(f"{trial}, waiting")
    assert searcher.suggest(trial)["job"] is not None
    searcher.start(trial)


def test_a_trial_ends_with_the_outcome_that_it_sent() -> None:
    record = MemoryRecord(1)
    searcher = searcher_of(record, 1)
    begin_training(searcher, "a")
    searcher.on_trial_complete("a", {"message": json.dumps(END)})
    assert record.outcomes == [(replicate(0, "stage 0"), Outcome(value=0.9))]
    assert searcher.suggest("b") == "FINISHED"


def test_a_trial_that_sent_its_outcome_and_then_died_keeps_it() -> None:
    record = MemoryRecord(1)
    searcher = searcher_of(record, 1)
    begin_training(searcher, "a")
    searcher.on_trial_result("a", {"message": json.dumps(END)})
    searcher.on_process_lost("a", "RayActorError")
    assert record.outcomes == [(replicate(0, "stage 0"), Outcome(value=0.9))]


def test_a_trial_that_ends_without_a_word_is_lost() -> None:
    record = MemoryRecord(1)
    searcher = searcher_of(record, 1)
    begin_training(searcher, "a")
    searcher.on_trial_complete("a", {})
    assert [outcome.detail for _, outcome in record.outcomes] == ["it ended without an outcome"]


def test_a_replicate_that_never_started_is_handed_back() -> None:
    record = MemoryRecord(1)
    searcher = searcher_of(record, 1)
    searcher.suggest("a")
    searcher.start("a")
    assert searcher.should_stop_waiting("a")
    searcher.on_trial_complete("a")
    searcher.suggest("b")
    searcher.on_process_lost("b", "")
    assert record.stages.waiting == [replicate(0, "stage 0")]
    assert record.started == []


@pytest.mark.parametrize(("running", "cause"), [(1, Cause.OUT_OF_MEMORY), (2, Cause.LOST)])
def test_of_trials_that_ended_for_lack_of_memory_one_alone_was_the_one(running: int, cause: Cause) -> None:
    record = MemoryRecord(3)
    searcher = searcher_of(record, 2)
    for trial in "ab"[:running]:
        begin_training(searcher, trial)
    searcher.on_out_of_memory()
    assert [outcome.cause for _, outcome in record.outcomes] == [cause] * running


def test_what_was_taken_ahead_when_tune_aborted_for_lack_of_memory_is_trained_by_the_next_run() -> None:
    record = MemoryRecord(2)
    slots = Slots(record.work, 1)
    searcher = ReplicateSearcher(slots, make_job, record, threading.Event(), lambda: 1)
    searcher.suggest("a")
    searcher.start("a")
    assert searcher.should_stop_waiting("a")
    assert record.stages.ahead == [replicate(0, "stage 0")]
    searcher.on_out_of_memory()
    again = ReplicateSearcher(slots, make_job, record, threading.Event(), lambda: 1)
    for trial in "bc":
        begin_training(again, trial)
        again.on_trial_complete(trial, {"message": json.dumps(END)})
        again.on_process_lost(trial, "")  # it has ended: the slot's next process is another
        slots.lose_all()
    assert again.suggest("d") == "FINISHED"
    assert record.stages.ended == record.stages.replicates


def test_a_replicate_whose_trial_ends_before_it_starts_is_handed_back() -> None:
    record = MemoryRecord(1)
    searcher = searcher_of(record, 1)
    searcher.suggest("a")
    searcher.start("a")
    assert searcher.should_stop_waiting("a")
    searcher.on_trial_complete("a")
    assert searcher.suggest("b")["job"] is not None
    searcher.on_trial_complete("b")
    assert record.stages.waiting == [replicate(0, "stage 0")]
    begin_training(searcher, "c")
    assert record.started == [replicate(0, "stage 0")]


def test_work_or_jobs_that_raise_end_the_run_with_what_they_raised() -> None:
    fault = RuntimeError("no choice")

    def broken(*_: Any) -> Any:
        raise fault

    record = MemoryRecord(1)
    record.work = map(broken, [1])
    of_work = searcher_of(record, 1)
    assert of_work.suggest("a") == "FINISHED"
    assert of_work.fault is fault

    of_jobs = ReplicateSearcher(Slots(MemoryRecord(1).work, 1), broken, record, threading.Event(), lambda: 1)
    of_jobs.suggest("a")
    of_jobs.start("a")
    assert of_jobs.should_stop_waiting("a")
    of_jobs.on_trial_complete("a")
    assert of_jobs.suggest("b") == "FINISHED"
    assert of_jobs.fault is fault
    assert of_jobs.is_over


def test_a_search_is_over_while_a_slot_has_not_come_but_not_while_one_waits() -> None:
    record = MemoryRecord(1)
    searcher = searcher_of(record, 3)
    begin_training(searcher, "a")
    for trial in "bc":
        searcher.suggest(trial)
    searcher.start("b")
    searcher.on_trial_complete("a", {"message": json.dumps(END)})
    assert searcher.suggest("d") == "FINISHED"
    assert not searcher.is_over
    assert searcher.should_stop_waiting("b")
    searcher.on_trial_complete("b")
    assert searcher.is_over


def test_what_the_record_raises_ends_the_run() -> None:
    record = MemoryRecord(2)
    searcher = searcher_of(record, 1)
    fault = RuntimeError("the lease is another's")
    record.finish = lambda *_: (_ for _ in ()).throw(fault)  # type: ignore[method-assign]
    begin_training(searcher, "a")
    searcher.on_trial_complete("a", {"message": json.dumps(END)})
    assert searcher.fault is fault
    assert searcher.is_over
    assert searcher.suggest("b") == "FINISHED"


def test_nodes_that_join_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_executor, "COUNT_SECONDS", 0)
    count = 1
    searcher = searcher_of(MemoryRecord(9), 1, lambda: count)
    assert searcher.suggest("a") == {"job": None}
    assert searcher.suggest("b") is None
    count = 2
    assert searcher.suggest("b") == {"job": None}


# Tune's own controller


class Nothing(Trainable):
    """What Tune believes that it runs."""


class Run:
    """A search that Tune's controller runs on simulated processes."""

    def __init__(self, folder: Path, processes: Processes, sizes: list[int], count: int, scheduler: Any = None) -> None:
        self.record = MemoryRecord(*sizes)
        self.processes = processes
        searcher = searcher_of(self.record, count)
        experiment = Experiment(
            "trials", Nothing, num_samples=10**9, storage_path=str(folder), checkpoint_config=CheckpointConfig(),
            resources_per_trial=PlacementGroupFactory([{"CPU": 1}]),
        )  # fmt: skip
        generator = SearchGenerator(searcher)
        generator.add_configurations([experiment])
        self.controller = tune_controller.TuneController(
            search_alg=generator,
            scheduler=scheduler or PatientScheduler(),
            stopper=SearchStopper(searcher),
            callbacks=[ProcessCallback(searcher)],
            storage=experiment.storage,
            reuse_actors=True,
            checkpoint_period=86_400,
            resource_manager_factory=lambda: None,
        )
        self.trained_from = self.trained_to = 0.0

    def go_on(self, until: Callable[[], bool]) -> None:
        for _ in range(20_000):
            if self.controller.is_finished() or until():
                return
            self.controller.step()
        pytest.fail("the search does not end")

    def end(self) -> None:
        self.go_on(until=lambda: False)
        assert sorted(self.record.stages.ended, key=repr) == sorted(self.record.stages.replicates, key=repr)
        assert len(self.record.started) == len(self.record.stages.replicates)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    for name, value in ray_environment.VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(storage, "_get_ray_train_session_dir", lambda: str(tmp_path))  # else Ray must run

    def make(sizes: list[int], slots: int, start: list[float], train: float = 1.0, **options: Any) -> Run:
        starts: Iterator[float] = itertools.chain(start, itertools.repeat(start[-1]))
        processes = Processes(slots, lambda: next(starts), lambda: train)
        monkeypatch.setattr(tune_controller, "RayActorManager", lambda resource_manager: processes)
        return Run(tmp_path, processes, sizes, options.pop("count", slots), **options)

    return make


def test_tune_starts_all_processes_at_once_and_keeps_them(run: Callable[..., Run]) -> None:
    search = run([40, 40, 20], slots=8, start=[4.0])
    search.end()
    assert search.processes.counts["started"] == 8
    assert search.processes.counts["cancelled"] == 0
    assert search.processes.clock == pytest.approx(4 + 5 + 5 + 3, rel=0.15)


def test_tune_trains_on_slots_that_have_come_and_cancels_none_that_starts(run: Callable[..., Run]) -> None:
    search = run([60], slots=3, start=[1.0, 1.0, 30.0])
    search.go_on(until=lambda: search.processes.clock > 20)
    assert len(search.record.stages.ended) > 25
    search.end()
    assert search.processes.counts == {"started": 3, "let go": search.processes.counts["let go"]}


def test_tune_with_its_own_scheduler_cancels_processes_that_start(run: Callable[..., Run]) -> None:
    search = run([60], slots=3, start=[1.0, 1.0, 30.0], scheduler=FIFOScheduler())
    search.end()
    assert search.processes.counts["cancelled"] > 0, "PatientScheduler is needed no more"


def test_tune_ends_a_search_whose_last_slot_never_comes(run: Callable[..., Run]) -> None:
    search = run([5, 3], slots=2, count=4, start=[1.0])
    search.end()
    assert search.processes.counts["started"] == 2


def test_a_replicate_that_tune_ends_without_a_word_is_trained(run: Callable[..., Run]) -> None:
    search = run([6, 6], slots=2, start=[1.0])
    search.go_on(until=lambda: search.processes.clock > 3)
    search.processes.refusals = 2
    search.end()
    assert search.processes.counts["started"] == 4


def test_tune_uses_a_slot_that_comes_back(run: Callable[..., Run]) -> None:
    search = run([60], slots=1, count=2, start=[1.0])
    search.go_on(until=lambda: search.processes.clock > 20)
    search.processes.slots = 2
    search.end()
    assert search.processes.counts["started"] == 2
    assert search.processes.clock < 20 + 1 + 1.15 * 42 / 2
