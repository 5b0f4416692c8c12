"""Runs trials on Ray Tune; the only file that imports Ray. It keeps no state; the store does.

Ray may not answer for a minute, or for ever. So its state is read from :mod:`search.engine.node_watch`, and what waits
for it ends when the search is stopped. While ``run`` trains, another thread must leave a cluster that is dead.
"""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from search.engine import cluster_address, ray_folder
from search.engine.locked_folder import LockedFolder
from search.engine.logs import capture_library
from search.engine.messages import parse_message
from search.engine.node_watch import ClusterState, NodeWatch, find_servers
from search.engine.resources import InsufficientResources, TrialResources
from search.engine.slots import Assignment, NoAssignment, Slots
from search.engine.trial_environment import prepare_process
from search.engine.trial_process import TrialJob, run_trial
from search.plan.stages import Replicate
from search.views import NodeView
from search.vocabulary.outcome import Outcome, last_line
from search.vocabulary.states import Cause

NODE_SECONDS = 60  # how long a search waits for a first node that fits a trial
CLOSE_SECONDS = 5.0  # for Ray to stop; a Ray that does not answer may never
COUNT_SECONDS = 5.0  # between checks for new nodes
SHORTEST_WAIT, LONGEST_WAIT = 0.05, 5.0  # seconds between polls of an idle slot; a tenth of its waiting time

NO_OUTCOME = Outcome(cause=Cause.LOST, detail="it ended without an outcome")
SINGLE_TRIAL_OUT_OF_MEMORY = Outcome(
    cause=Cause.OUT_OF_MEMORY, detail="Ray ended its process, as its node ran out of memory"
)
SHARED_NODE_OUT_OF_MEMORY = Outcome(cause=Cause.LOST, detail="Ray ended a process for lack of memory while it ran")

Result = TypeVar("Result")


class TrialListener(Protocol):
    """Receives the events of each trial; implemented by :class:`search.engine.recorder.Recorder`."""

    def start(self, replicate: Replicate) -> int:
        """Record that a trial starts; return its trial_id."""

    def record_location(self, trial_id: int, where: dict[str, Any]) -> None:
        """Record where a trial runs."""

    def report(self, trial_id: int, epochs: dict[int, dict[str, Any]]) -> None:
        """Record metrics of a trial by epoch."""

    def finish(self, trial_id: int, outcome: Outcome) -> Outcome:
        """Record the outcome of a trial; return it as stored."""

    def requeue(self, replicate: Replicate) -> None:
        """Make an assigned replicate that never started available again."""


class Executor:
    """A connection to the Ray cluster at an address, or to a private cluster on this host if there is no address.

    Ray reads its environment at import: see :mod:`search.engine.ray_environment`.

    Args:
        address: of the cluster, which was found to answer: Ray itself tries for 14 minutes.
        variables: names and prefixes of environment variables that recipes get besides the usual ones.

    Raises:
        RayUnavailable: if the cluster cannot be joined after all, or there is no folder for a private one.
    """

    def __init__(self, address: str, variables: tuple[str, ...] = ()) -> None:
        self._variables = variables
        quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False, "configure_logging": True}
        self._address = address
        self._folder: LockedFolder | None = None
        if address:
            try:
                ray.init(address=address, **quiet)
            except Exception as error:
                raise cluster_address.not_joined(address, error) from error
        else:
            # "local" keeps Ray from joining a stray cluster on this machine. Its sockets need a short path. It opens
            # its folder to every user (0777), and so gets one inside a folder that only this user can enter.
            self._folder = LockedFolder(ray_folder.find_parent(), ray_folder.PREFIX)
            inner = str(self._folder.path / ray_folder.INNER)
            ray.init(address="local", include_dashboard=False, _temp_dir=inner, **quiet)
        capture_library("ray")
        self._watch = NodeWatch(
            lambda: ClusterState(nodes=ray.nodes(), free=ray.available_resources()),
            own_node=ray.get_runtime_context().get_node_id(),
            servers=() if address else find_servers().values(),
        )

    def silent_seconds(self) -> float:
        """Return the time since Ray last answered; it is asked about once a second. Never blocks."""
        return self._watch.silent_seconds()

    def own_node_alive(self) -> bool:
        """Return whether the node that this process is attached to is alive, as far as is known. Never blocks."""
        return self._watch.own_node_alive()

    def slots(self, resources: TrialResources) -> int:
        """Return how many trials fit on the whole cluster if nothing else runs on it. Never blocks.

        Raises:
            InsufficientResources: if no node is large enough for one, as far as is known.
        """
        state = self._watch.state
        return resources.count_slots(state.capacities if state else [])

    def wait_for_slots(
        self,
        resources: TrialResources,
        stopping: threading.Event,
        on_wait: Callable[[str], None],
        *,
        forever: bool = False,
    ) -> int:
        """Return how many trials fit on the cluster; wait for nodes that are still starting.

        Args:
            resources: what a trial reserves.
            stopping: ends the wait.
            on_wait: called once with a message if there is a wait.
            forever: wait without an end, for nodes that are known to exist.

        Raises:
            InsufficientResources: if no node that is large enough has joined in time.
        """
        while self._watch.wait_for_state(0.5) is None and not stopping.is_set():
            pass  # the count of nodes is known once Ray has answered
        seconds = math.inf if forever else NODE_SECONDS if self._address else 0
        until, announced = time.monotonic() + seconds, False
        while True:
            try:
                return self.slots(resources)
            except InsufficientResources:
                if time.monotonic() > until or stopping.wait(0.5):
                    raise
                if not announced:
                    limit = "" if forever else f", {NODE_SECONDS} s at most"
                    on_wait(f"waiting for a node that holds {resources}{limit}")
                    announced = True

    def busy_reason(self, resources: TrialResources) -> str:
        """Return why a trial cannot start now; empty if it can, as far as is known. Never blocks."""
        state = self._watch.state
        free = state.free if state else {}
        if state is None or resources.count_fitting(free):
            return ""
        return (
            f"waiting for {resources}: the cluster has {free.get('CPU', 0):g} CPU and {free.get('GPU', 0):g} GPU free"
        )

    def nodes(self) -> list[NodeView]:
        """Describe the nodes of the cluster as last known. Never blocks."""
        state = self._watch.state
        return [
            NodeView(
                id=node["NodeID"],
                host=node["NodeManagerHostname"],
                alive=node["Alive"],
                cpus=node["Resources"].get("CPU", 0),
                gpus=node["Resources"].get("GPU", 0),
            )
            for node in (state.nodes if state else ())
        ]

    def put_data(self, load: Callable[..., Any], *arguments: Any) -> Any:
        """Start a task that loads a data set into the object store; trials on a node share one copy.

        The task prefers a node that runs trials over the driver's own node. It reserves no CPU: if it ran again after
        its node is lost, trials that wait for it might hold all CPUs, and it would never start.
        """
        variables = self._variables

        def prepare_and_load(*arguments: Any) -> Any:
            prepare_process(*variables)
            return load(*arguments)

        nodes = [node.id for node in self.nodes() if node.alive and node.cpus]
        scheduling = NodeAffinitySchedulingStrategy(nodes[0], soft=True) if nodes else "DEFAULT"
        return ray.remote(prepare_and_load).options(num_cpus=0, scheduling_strategy=scheduling).remote(*arguments)

    def wait_for_data(self, placed: Any, stopping: threading.Event) -> None:
        """Wait until a task has finished or ``stopping`` is set; raise the task's exception if it failed."""
        failures: list[BaseException] = []

        def wait() -> None:
            try:
                ray.get(placed)
            except BaseException as error:
                failures.append(error)

        # In a thread instead of with a deadline: after each deadline Ray would fetch the data from the start again.
        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        while thread.is_alive() and not stopping.is_set():
            thread.join(0.1)
        for error in failures:
            raise error.cause if isinstance(error, ray.exceptions.RayTaskError) else error

    def run(
        self,
        work: Iterator[Replicate | None],
        make_job: Callable[[Replicate], TrialJob],
        data: Any,
        listener: TrialListener,
        resources: TrialResources,
        slots: int,
        stopping: threading.Event,
        folder: Path,
    ) -> None:
        """Train what ``work`` yields, in parallel, until it ends or ``stopping`` is set.

        One Tune run serves the whole search, so that processes are reused across stages.

        Raises:
            Exception: whatever ``work`` or ``listener`` raised.
        """

        variables = self._variables  # not self, which is not pickled

        def trainable(config: dict[str, Any]) -> None:
            if config["job"] is None:
                _wait(lambda: tune.report({"waiting": True}))
                return
            prepare_process(*variables)
            location = {"node": ray.get_runtime_context().get_node_id(), "gpus": ray.get_gpu_ids()}

            def send(message: dict[str, Any]) -> None:
                # As text, because Tune flattens nested figures. "done" ends the trial with its last message; else Tune
                # asks its process once more, and the slot waits for the answer.
                tune.report({"message": json.dumps(message), "done": message["outcome"] is not None})

            run_trial(TrialJob(**config["job"]), ray.get(data), send, location)

        assignments = Slots(work, slots)
        while True:
            searcher = ReplicateSearcher(assignments, make_job, listener, stopping, lambda: self.slots(resources))
            out_of_memory = False
            try:
                self._fit(searcher, trainable, resources, folder)
            except tune.TuneError as error:
                # Tune does not handle Ray's error for a process that was killed for lack of memory, and aborts.
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
        """Disconnect from the cluster; stop it if it is private. Gives up on a Ray that does not answer."""

        def close() -> None:
            self._watch.close()
            ray.shutdown()

        closing = threading.Thread(target=close, daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)
        if self._folder:
            self._folder.remove()


def _wait(report: Callable[[], None]) -> None:
    """Keep an idle slot's process alive: report at growing intervals until Tune stops the trial."""
    start = time.monotonic()
    while True:
        report()
        time.sleep(min(LONGEST_WAIT, max(SHORTEST_WAIT, 0.1 * (time.monotonic() - start))))


def classify_process_loss(error: str, seconds: float, timeout: float | None) -> Outcome:
    """Infer from Ray's error and from the running time why a trial's process died."""
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
    """Assigns replicates to Tune's trials as the slots decide, and reports their events to the listener."""

    def __init__(
        self,
        slots: Slots,
        make_job: Callable[[Replicate], TrialJob],
        listener: TrialListener,
        stopping: threading.Event,
        count_slots: Callable[[], int],
    ) -> None:
        super().__init__()
        self._slots = slots
        self._make_job = make_job
        self._listener = listener
        self._stopping = stopping
        self._count_slots = count_slots
        self._counted_at = time.monotonic()
        self._running: dict[str, _Running] = {}  # started replicates, by Tune's trial id
        self.fault: BaseException | None = None  # raised by the work or the listener; ends the run

    @property
    def is_stopping(self) -> bool:
        """Whether no trial may start any more."""
        return self._stopping.is_set() or self.fault is not None

    @property
    def is_over(self) -> bool:
        """Whether Tune must stop all remaining trials."""
        return self.is_stopping or self._slots.is_over

    def is_active(self, trial_id: str) -> bool:
        """Return whether a trial has not ended, as far as Tune has reported."""
        return self._slots.find(trial_id) is not None

    def set_search_properties(self, *_: Any, **__: Any) -> bool:
        """Accept any metric: results go to the listener."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """Return the config of a new trial; None if none can start now. Tune calls this before each step."""
        self._refresh_slot_count()
        given = None if self.is_stopping else self._guard(lambda: self._slots.assign(trial_id))
        if self.is_stopping or given is None or given is NoAssignment.EXHAUSTED:
            return str(Searcher.FINISHED)
        if given is NoAssignment.ALL_BUSY:
            return None
        if given.replicate is None:
            return {"job": None}
        replicate = given.replicate
        job = self._guard(lambda: asdict(self._make_job(replicate)))
        return str(Searcher.FINISHED) if job is None else {"job": job}

    def should_stop_waiting(self, trial_id: str) -> bool:
        """Return whether a waiting trial must stop."""
        return self.is_stopping or bool(self._guard(lambda: self._slots.should_stop_waiting(trial_id)))

    def start(self, trial_id: str) -> None:
        """Handle the start of a trial's process."""
        replicate = self._slots.start(trial_id, time.monotonic()).replicate
        if replicate is not None:
            stored_id = self._guard(lambda: self._listener.start(replicate))
            if stored_id is not None:
                self._running[trial_id] = _Running(stored_id)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Pass a trial's message to the listener."""
        running = self._running.get(trial_id)
        if running is None or "message" not in result:
            return
        stored_id, message = running.stored_id, parse_message(result["message"])
        running.outcome = running.outcome or message.outcome
        if (where := message.where) is not None:
            self._guard(lambda: self._listener.record_location(stored_id, where))
        self._guard(lambda: self._listener.report(stored_id, message.epochs))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Handle the end of a trial whose process lives. Errors are handled by ``on_process_lost``."""
        if error or not self.is_active(trial_id):
            return
        running = self._running.get(trial_id)
        if running is not None and running.outcome is None and result is not None:
            self.on_trial_result(trial_id, result)
        self._conclude(trial_id, self._slots.end(trial_id), NO_OUTCOME)

    def on_process_lost(self, trial_id: str, error: str) -> None:
        """Handle the loss of a trial's process."""
        if not self.is_active(trial_id):
            return
        assignment = self._slots.lose(trial_id)
        replicate = assignment.replicate
        timeout = self._guard(lambda: self._make_job(replicate).timeout) if replicate else None
        seconds = time.monotonic() - assignment.started_at if assignment.started_at is not None else 0.0
        self._conclude(trial_id, assignment, classify_process_loss(error, seconds, timeout))

    def on_out_of_memory(self) -> None:
        """End all trials after Ray killed a process for lack of memory, which aborts Tune."""
        cause = SINGLE_TRIAL_OUT_OF_MEMORY if len(self._running) == 1 else SHARED_NODE_OUT_OF_MEMORY
        for trial_id, assignment in self._slots.lose_all().items():
            self._conclude(trial_id, assignment, cause)

    def _conclude(self, trial_id: str, assignment: Assignment, otherwise: Outcome) -> None:
        """Record the outcome that a trial sent, or ``otherwise`` if it sent none."""
        running = self._running.pop(trial_id, None)
        if assignment.replicate is None:
            return
        if running is None:
            self._listener.requeue(assignment.replicate)
            return
        outcome = running.outcome or otherwise
        if not (self.is_stopping and outcome.cause == Cause.LOST):  # the driver records these itself
            self._guard(lambda: self._listener.finish(running.stored_id, outcome))

    def _refresh_slot_count(self) -> None:
        """Count the slots again every ``COUNT_SECONDS``, because nodes may have joined."""
        if time.monotonic() - self._counted_at >= COUNT_SECONDS:
            with contextlib.suppress(InsufficientResources):
                self._slots.grow(self._count_slots())
            self._counted_at = time.monotonic()

    def _guard(self, call: Callable[[], Result]) -> Result | None:
        """Call the work or the listener, and keep its exception in ``fault``: Tune would only log it."""
        if self.fault is None:
            try:
                return call()
            except Exception as error:
                self.fault = error
        return None

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles searchers to restore runs; the store does that

    def save_to_dir(self, *_: Any, **__: Any) -> None:
        """Save nothing, for the same reason."""


class ProcessCallback(tune.Callback):
    """Reports when a trial's process starts, which is later than ``suggest``, and when it is lost."""

    def __init__(self, searcher: ReplicateSearcher) -> None:
        self._searcher = searcher

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Report that a trial's process has started."""
        self._searcher.start(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Report that a trial's process is lost."""
        file = Path(trial.error_file or "")
        self._searcher.on_process_lost(trial.trial_id, file.read_text(errors="replace") if file.is_file() else "")

    def on_step_end(self, iteration: int, trials: list[Any], **_: Any) -> None:
        """Find failed trials without a process: Tune ends those without a callback."""
        for trial in trials:
            if trial.status == "ERROR" and self._searcher.is_active(trial.trial_id):
                self.on_trial_error(iteration, trials, trial)


class SearchStopper(tune.Stopper):
    """Stops waiting trials, and the run when it is over; Tune calls it about ten times a second."""

    def __init__(self, searcher: ReplicateSearcher) -> None:
        self._searcher = searcher

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Return whether to stop a trial that reports."""
        return "waiting" in result and self._searcher.should_stop_waiting(trial_id)

    def stop_all(self) -> bool:
        """Return whether to stop the run."""
        return self._searcher.is_over


class PatientScheduler(FIFOScheduler):
    """Lets starting processes serve the trials that they were started for.

    Tune's default scheduler returns the first pending trial. Tune then gives that trial any free process and cancels
    the one that is starting for it, again and again if trials are shorter than a start. Without a choice, Tune gives
    free processes to trials that have no starting process.
    """

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """Choose no trial."""
