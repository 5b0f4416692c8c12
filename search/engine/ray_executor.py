"""Runs trials on Ray Tune: the one file that knows Ray. It executes and remembers nothing; the store does."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from search.engine.logs import capture_library
from search.engine.orphans import ray_folder_prefix
from search.engine.slots import Assignment, NoAssignment, Slots
from search.engine.trial_process import TrialJob, run_trial
from search.plan.stages import Replicate
from search.views import NodeView
from search.vocabulary.outcome import Outcome, last_line
from search.vocabulary.states import Cause

NODE_SECONDS = 60  # for which a search waits for a first node that can hold a trial
COUNT_SECONDS = 5.0  # between looks for nodes that have joined
SHORTEST_WAIT, LONGEST_WAIT = 0.05, 5.0  # seconds between an idle slot's questions; a tenth of how long it has waited

NO_OUTCOME = Outcome(cause=Cause.LOST, detail="it ended without a word")
SINGLE_TRIAL_OUT_OF_MEMORY = Outcome(
    cause=Cause.OUT_OF_MEMORY, detail="Ray ended its process, as its node ran out of memory"
)
SHARED_NODE_OUT_OF_MEMORY = Outcome(cause=Cause.LOST, detail="Ray ended a process for lack of memory while it ran")

Result = TypeVar("Result")


class Record(Protocol):
    """Who is told of each trial; see :class:`search.engine.recorder.Recorder`."""

    def start(self, replicate: Replicate) -> int:
        """A trial runs; returns its trial_id."""

    def record_location(self, trial_id: int, where: dict[str, Any]) -> None:
        """It is known where a trial runs."""

    def report(self, trial_id: int, epochs: dict[int, dict[str, Any]]) -> None:
        """A trial has figures."""

    def finish(self, trial_id: int, outcome: Outcome) -> Outcome:
        """A trial has ended."""

    def requeue(self, replicate: Replicate) -> None:
        """A replicate was handed out and never started."""


class InsufficientResources(Exception):
    """No node of the cluster can ever hold a trial."""


@dataclass(frozen=True, kw_only=True)
class TrialResources:
    """What a trial takes up."""

    cpus: float
    gpus: float = 0
    memory_bytes: int | None = None
    concurrency: int | None = None  #: trials at once at the most

    def to_ray_resources(self) -> dict[str, float]:
        """Return what Ray reserves for a trial."""
        return {"cpu": self.cpus, "gpu": self.gpus, **({"memory": self.memory_bytes} if self.memory_bytes else {})}

    def count_fitting(self, free: Mapping[str, float]) -> int:
        """Return how many trials fit into resources as Ray counts them."""
        needs = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory_bytes or 0}
        return min(_units(free.get(kind, 0)) // max(1, _units(need)) for kind, need in needs.items() if need)

    def count_slots(self, nodes: Sequence[Mapping[str, float]]) -> int:
        """Return how many trials nodes with these resources hold, up to the concurrency.

        Raises:
            InsufficientResources: if no node can ever hold one.
        """
        fitting = sum(self.count_fitting(node) for node in nodes)
        if not fitting:
            has = "; ".join(", ".join(f"{int(node.get(kind, 0))} {kind}" for kind in ("CPU", "GPU")) for node in nodes)
            raise InsufficientResources(
                f"a trial must fit on one node: got {self}, and the cluster has {len(nodes)} nodes with {has}. "
                "Ask for less, or add a node."
            )
        return min(fitting, self.concurrency or fitting)

    def __str__(self) -> str:
        parts = [f"{self.cpus:g} CPU", f"{self.gpus:g} GPU"] if self.gpus else [f"{self.cpus:g} CPU"]
        return ", ".join([*parts, *([f"{self.memory_bytes / 1e9:g} GB"] if self.memory_bytes else [])])


def _units(amount: float) -> int:
    """Return an amount in ten-thousandths, as Ray counts: as a float, 1 holds only nine times 0.1."""
    return round(amount * 10_000)


class Executor:
    """A connection to the Ray cluster at an address; without one to a private cluster on this host.

    Ray reads the environment when it is imported: :mod:`search.engine.ray_environment` says what belongs there.
    """

    def __init__(self, address: str) -> None:
        quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False, "configure_logging": True}
        self._address = address
        self._folder: str | None = None
        if address:
            ray.init(address=address, **quiet)
        else:
            # Without an address Ray would join whatever cluster somebody left on this machine. Its sockets need a
            # short path.
            self._folder = tempfile.mkdtemp(prefix=ray_folder_prefix(os.getpid()))
            ray.init(address="local", include_dashboard=False, _temp_dir=self._folder, **quiet)
        capture_library("ray")

    def slots(self, resources: TrialResources) -> int:
        """Return how many trials the whole cluster holds, were nothing else running on it.

        Raises:
            InsufficientResources: if no node can ever hold one.
        """
        return resources.count_slots([node["Resources"] for node in ray.nodes() if node["Alive"]])

    def wait_for_slots(
        self, resources: TrialResources, stopping: threading.Event, on_wait: Callable[[str], None]
    ) -> int:
        """Return how many trials the cluster holds; wait for its nodes, which may be starting as well.

        Args:
            resources: what a trial takes up.
            stopping: ends the wait.
            on_wait: is told what is waited for, if it is.

        Raises:
            InsufficientResources: if no node that can hold one has come.
        """
        until, announced = time.monotonic() + (NODE_SECONDS if self._address else 0), False
        while True:
            try:
                return self.slots(resources)
            except InsufficientResources:
                if time.monotonic() > until or stopping.wait(0.5):
                    raise
                if not announced:
                    on_wait(f"waiting for a node that holds {resources}, {NODE_SECONDS} s at the most")
                    announced = True

    def busy_reason(self, resources: TrialResources) -> str:
        """Say why a trial cannot start now; nothing if it can."""
        free = ray.available_resources()
        if resources.count_fitting(free):
            return ""
        return (
            f"waiting for {resources}: the cluster has {free.get('CPU', 0):g} CPU and {free.get('GPU', 0):g} GPU free"
        )

    def nodes(self) -> list[NodeView]:
        """Describe the nodes of the cluster."""
        return [
            NodeView(
                id=node["NodeID"],
                host=node["NodeManagerHostname"],
                alive=node["Alive"],
                cpus=node["Resources"].get("CPU", 0),
                gpus=node["Resources"].get("GPU", 0),
            )
            for node in ray.nodes()
        ]

    def put_data(self, load: Callable[..., Any], *arguments: Any) -> Any:
        """Start loading a data set into the object store; trials on any node then read it without a copy each.

        It is loaded where trials run, not on a driver's own node. It reserves nothing: were it loaded again, after its
        node is gone, while trials that wait for it hold all that others have, it might never begin.
        """
        nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        scheduling = NodeAffinitySchedulingStrategy(nodes[0], soft=True) if nodes else "DEFAULT"
        return ray.remote(load).options(num_cpus=0, scheduling_strategy=scheduling).remote(*arguments)

    def wait_for_data(self, placed: Any) -> None:
        """Wait until a data set is loaded, raising what its loading raised."""
        try:
            ray.get(placed)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None

    def run(
        self,
        work: Iterator[Replicate | None],
        make_job: Callable[[Replicate], TrialJob],
        data: Any,
        record: Record,
        resources: TrialResources,
        slots: int,
        stopping: threading.Event,
        folder: Path,
    ) -> None:
        """Train what ``work`` yields, as many at once as the cluster holds, until it ends or ``stopping`` is set.

        One Tune run serves the whole search, so that processes stay warm from stage to stage.

        Raises:
            Exception: what ``work`` or ``record`` raised.
        """

        def trainable(config: dict[str, Any]) -> None:
            if config["job"] is None:
                _wait(lambda: tune.report({"waiting": True}))
                return
            location = {"node": ray.get_runtime_context().get_node_id(), "gpus": ray.get_gpu_ids()}

            def send(message: dict[str, Any]) -> None:
                tune.report({"message": json.dumps(message)})  # as text: Tune flattens nested figures

            run_trial(TrialJob(**config["job"]), ray.get(data), send, location)

        assignments = Slots(work, slots)
        while True:
            searcher = ReplicateSearcher(assignments, make_job, record, stopping, lambda: self.slots(resources))
            out_of_memory = False
            try:
                self._fit(searcher, trainable, resources, folder)
            except tune.TuneError as error:
                # Tune does not know Ray's word for a process that was ended for lack of memory, and gives up.
                out_of_memory = "OutOfMemoryError" in str(error)
                if searcher.fault is None and not out_of_memory:
                    raise
            if out_of_memory:
                searcher.on_out_of_memory()
            if searcher.fault is not None:
                raise searcher.fault
            if not out_of_memory:
                return

    def _fit(
        self,
        searcher: ReplicateSearcher,
        trainable: Callable[[dict[str, Any]], None],
        resources: TrialResources,
        folder: Path,
    ) -> None:
        """Run Tune once."""
        tuner = tune.Tuner(
            tune.with_resources(trainable, resources.to_ray_resources()),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=PatientScheduler(),  # type: ignore[no-untyped-call]  # Tune's own has no types
                num_samples=-1,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=str(folder),
                verbose=0,
                callbacks=[ProcessCallback(searcher)],
                stop=SearchStopper(searcher),
            ),
        )
        try:
            tuner.fit()
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Leave the cluster; end it if it is the private one."""
        ray.shutdown()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)


def _wait(report: Callable[[], None]) -> None:
    """Keep a slot's process while there is nothing to train: report ever more rarely, until told to stop."""
    start = time.monotonic()
    while True:
        report()
        time.sleep(min(LONGEST_WAIT, max(SHORTEST_WAIT, 0.1 * (time.monotonic() - start))))


def classify_process_loss(error: str, seconds: float, timeout: float | None) -> Outcome:
    """Tell from Ray's words, and from how long a trial ran, why its process is gone."""
    if timeout is not None and seconds >= timeout:
        return Outcome(cause=Cause.TIMEOUT, detail=f"no end after {timeout:g} s; the log shows where it was")
    if "OutOfMemory" in error or "low on memory" in error:
        return Outcome(cause=Cause.OUT_OF_MEMORY, detail=error[-2000:])
    if "node has died" in error:
        return Outcome(cause=Cause.LOST, detail="its node was lost")
    return Outcome(cause=Cause.LOST, detail=f"its process died: {last_line(error)}")


@dataclass
class _Running:
    stored_id: int  # the store's trial_id
    outcome: Outcome | None = None


class ReplicateSearcher(Searcher):
    """Asks the slots what each trial of Tune does, and tells the record what becomes of the replicates."""

    def __init__(
        self,
        slots: Slots,
        make_job: Callable[[Replicate], TrialJob],
        record: Record,
        stopping: threading.Event,
        count_slots: Callable[[], int],
    ) -> None:
        super().__init__()
        self._slots = slots
        self._make_job = make_job
        self._record = record
        self._stopping = stopping
        self._count_slots = count_slots
        self._counted_at = time.monotonic()
        self._running: dict[str, _Running] = {}  # replicates that have started, by Tune's trial id
        self.fault: BaseException | None = None  # what the work or the record raised; it ends the run

    @property
    def ending(self) -> bool:
        """Whether nothing more is to run."""
        return self._stopping.is_set() or self.fault is not None

    @property
    def over(self) -> bool:
        """Whether Tune is to end what is left of its trials."""
        return self.ending or self._slots.over

    def is_active(self, trial_id: str) -> bool:
        """Whether a trial has not ended, as far as Tune has told."""
        return self._slots.find(trial_id) is not None

    def set_search_properties(self, *_: Any, **__: Any) -> bool:
        """Accept whatever metric Tune names: figures go to the record."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """Say what a new trial does; None if there is to be none now. Tune asks before each of its steps."""
        self._refresh_slot_count()
        given = None if self.ending else self._guard(lambda: self._slots.assign(trial_id))
        if self.ending or given is None or given is NoAssignment.EXHAUSTED:
            return str(Searcher.FINISHED)
        if given is NoAssignment.ALL_BUSY:
            return None
        return {"job": asdict(self._make_job(given.replicate)) if given.replicate else None}

    def should_stop_waiting(self, trial_id: str) -> bool:
        """Say whether a trial that waits is to stop."""
        return self.ending or bool(self._guard(lambda: self._slots.should_stop_waiting(trial_id)))

    def start(self, trial_id: str) -> None:
        """Take note that a trial got its process."""
        replicate = self._slots.start(trial_id, time.monotonic()).replicate
        if replicate is not None:
            stored_id = self._guard(lambda: self._record.start(replicate))
            if stored_id is not None:
                self._running[trial_id] = _Running(stored_id)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Pass on what a trial sends."""
        running = self._running.get(trial_id)
        if running is None or "message" not in result:
            return
        stored_id, message = running.stored_id, json.loads(result["message"])
        if message["outcome"] is not None:
            running.outcome = Outcome.from_json(message["outcome"])
        if message["where"] is not None:
            self._guard(lambda: self._record.record_location(stored_id, message["where"]))
        epochs = {int(epoch): figures for epoch, figures in message["epochs"].items()}
        self._guard(lambda: self._record.report(stored_id, epochs))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Take note that a trial has ended and its process lives. Of an error, ``on_process_lost`` is told more."""
        if error or not self.is_active(trial_id):
            return
        running = self._running.get(trial_id)
        if running is not None and running.outcome is None and result is not None:
            self.on_trial_result(trial_id, result)
        self._conclude(trial_id, self._slots.end(trial_id), NO_OUTCOME)

    def on_process_lost(self, trial_id: str, error: str) -> None:
        """Take note that a trial's process is gone."""
        if not self.is_active(trial_id):
            return
        assignment = self._slots.lose(trial_id)
        timeout = self._make_job(assignment.replicate).timeout if assignment.replicate else None
        seconds = time.monotonic() - assignment.started_at if assignment.started_at is not None else 0.0
        self._conclude(trial_id, assignment, classify_process_loss(error, seconds, timeout))

    def on_out_of_memory(self) -> None:
        """End what runs: Ray ended a process for lack of memory, and Tune with it. One alone was the one."""
        cause = SINGLE_TRIAL_OUT_OF_MEMORY if len(self._running) == 1 else SHARED_NODE_OUT_OF_MEMORY
        for trial_id, assignment in self._slots.lose_all().items():
            self._conclude(trial_id, assignment, cause)

    def _conclude(self, trial_id: str, assignment: Assignment, otherwise: Outcome) -> None:
        """Tell the record how a trial ended: with the outcome that it sent, ``otherwise`` if it sent none."""
        running = self._running.pop(trial_id, None)
        if assignment.replicate is None:
            return
        if running is None:
            self._record.requeue(assignment.replicate)
            return
        outcome = running.outcome or otherwise
        if not (self.ending and outcome.cause == Cause.LOST):  # the driver ends what it stops, with its own reason
            self._guard(lambda: self._record.finish(running.stored_id, outcome))

    def _refresh_slot_count(self) -> None:
        """Count the slots again from time to time: nodes may have joined."""
        if time.monotonic() - self._counted_at >= COUNT_SECONDS:
            with contextlib.suppress(InsufficientResources):
                self._slots.grow(self._count_slots())
            self._counted_at = time.monotonic()

    def _guard(self, call: Callable[[], Result]) -> Result | None:
        """Call the work or the record. What it raises is the fault of the run: Tune would only log it."""
        if self.fault is None:
            try:
                return call()
            except Exception as error:
                self.fault = error
        return None

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles what could restore a run; nothing here may, as the store remembers

    def save_to_dir(self, *_: Any, **__: Any) -> None:
        """Keep nothing, for the same reason."""


class ProcessCallback(tune.Callback):
    """Tells when a trial gets its process, as Tune asks for it earlier than that, and when it loses it."""

    def __init__(self, searcher: ReplicateSearcher) -> None:
        self._searcher = searcher

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """A process runs a trial from now on."""
        self._searcher.start(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """A process is gone."""
        file = Path(trial.error_file or "")
        self._searcher.on_process_lost(trial.trial_id, file.read_text() if file.is_file() else "")

    def on_step_end(self, iteration: int, trials: list[Any], **_: Any) -> None:
        """Find trials that no process could be passed on to: Tune ends those without telling anyone."""
        for trial in trials:
            if trial.status == "ERROR" and self._searcher.is_active(trial.trial_id):
                self.on_trial_error(iteration, trials, trial)


class SearchStopper(tune.Stopper):
    """Ends trials that wait, and the run when it is over; Tune asks about ten times a second."""

    def __init__(self, searcher: ReplicateSearcher) -> None:
        self._searcher = searcher

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Tell whether to end a trial that reports."""
        return "waiting" in result and self._searcher.should_stop_waiting(trial_id)

    def stop_all(self) -> bool:
        """Tell whether to end everything."""
        return self._searcher.over


class PatientScheduler(FIFOScheduler):
    """Leaves processes that start to the trials they start for.

    Tune's own names the trial that is first in line. Tune then gives that one whichever process is free and cancels the
    one that starts for it, again and again where trials are shorter than a start. With no name it gives free processes
    to trials that have none coming.
    """

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """Name none."""
