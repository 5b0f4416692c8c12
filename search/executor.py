"""Runs trials on Ray Tune: the one file that knows Ray. It executes and remembers nothing; the store does."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import ray
from ray import tune
from ray.tune.search import Searcher
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from search.leftovers import ray_prefix
from search.logs import adopt
from search.outcome import Outcome
from search.plan import Replicate
from search.states import Cause
from search.trial_process import TrialJob, run_trial
from search.views import NodeView

START_SECONDS = 15.0  # within which a process starts, if it does
NODE_SECONDS = 60  # for which a search waits for a first node that can hold a trial
SHORTEST_WAIT, LONGEST_WAIT = 0.05, 5.0  # seconds between an idle slot's questions; a tenth of how long it has waited


class Record(Protocol):
    """Who is told of each trial; see :class:`search.recorder.Recorder`."""

    def start(self, replicate: Replicate) -> int:
        """A trial runs; returns its trial_id."""

    def place(self, trial_id: int, where: dict[str, Any]) -> None:
        """It is known where a trial runs."""

    def report(self, trial_id: int, epochs: dict[int, dict[str, Any]]) -> None:
        """A trial has figures."""

    def finish(self, trial_id: int, outcome: Outcome) -> Outcome:
        """A trial has ended."""

    def hand_back(self, replicate: Replicate) -> None:
        """A replicate was handed out and never started."""


class NoRoom(Exception):
    """No node of the cluster can ever hold a trial."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """What a trial takes up."""

    cpus: float
    gpus: float = 0
    memory_bytes: int | None = None
    concurrency: int | None = None  #: trials at once at the most

    def as_resources(self) -> dict[str, float]:
        """Return what Ray reserves for a trial."""
        return {"cpu": self.cpus, "gpu": self.gpus, **({"memory": self.memory_bytes} if self.memory_bytes else {})}

    def fits_into(self, resources: Mapping[str, float]) -> int:
        """Return how many trials fit into resources as Ray counts them."""
        needs = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory_bytes or 0}
        return int(min(resources.get(kind, 0) // need for kind, need in needs.items() if need))

    def __str__(self) -> str:
        parts = [f"{self.cpus:g} CPU", f"{self.gpus:g} GPU"] if self.gpus else [f"{self.cpus:g} CPU"]
        return ", ".join([*parts, *([f"{self.memory_bytes / 1e9:g} GB"] if self.memory_bytes else [])])


class Executor:
    """A connection to the Ray cluster at an address; without one to a private cluster on this host.

    Ray reads the environment when it is imported: :mod:`search.ray_environment` says what belongs there.
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
            self._folder = tempfile.mkdtemp(prefix=ray_prefix(os.getpid()))
            ray.init(address="local", include_dashboard=False, _temp_dir=self._folder, **quiet)
        adopt("ray")

    def slots(self, room: Room) -> int:
        """Return how many trials the whole cluster has room for, were nothing else running on it.

        Raises:
            NoRoom: if no node can ever hold one.
        """
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        fitting = sum(room.fits_into(resources) for resources in nodes)
        if not fitting:
            has = "; ".join(", ".join(f"{int(node.get(kind, 0))} {kind}" for kind in ("CPU", "GPU")) for node in nodes)
            raise NoRoom(
                f"a trial must fit on one node: got {room}, and the cluster has {len(nodes)} nodes with {has}. "
                "Ask for less, or add a node."
            )
        return min(fitting, room.concurrency or fitting)

    def wait_for_slots(self, room: Room, stopping: threading.Event, say: Callable[[str], None]) -> int:
        """Return how many trials the cluster has room for; wait for its nodes, which may be starting as well.

        Args:
            room: what a trial takes up.
            stopping: ends the wait.
            say: is told what is waited for, if it is.

        Raises:
            NoRoom: if no node that can hold one has come.
        """
        until, said = time.monotonic() + (NODE_SECONDS if self._address else 0), False
        while True:
            try:
                return self.slots(room)
            except NoRoom:
                if time.monotonic() > until or stopping.wait(0.5):
                    raise
                if not said:
                    say(f"waiting for a node that holds {room}, {NODE_SECONDS} s at the most")
                    said = True

    def busy_reason(self, room: Room) -> str:
        """Say why a trial cannot start now; nothing if it can."""
        free = ray.available_resources()
        if room.fits_into(free):
            return ""
        return f"waiting for {room}: the cluster has {free.get('CPU', 0):g} CPU and {free.get('GPU', 0):g} GPU free"

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

    def place(self, load: Callable[..., Any], *arguments: Any) -> Any:
        """Start loading a data set into the object store; trials on any node then read it without a copy each.

        It is loaded where trials run, not on a driver's own node. It reserves nothing: were it loaded again, after its
        node is gone, while trials that wait for it hold all that others have, it might never begin.
        """
        nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        there = NodeAffinitySchedulingStrategy(nodes[0], soft=True) if nodes else "DEFAULT"
        return ray.remote(load).options(num_cpus=0, scheduling_strategy=there).remote(*arguments)

    def wait_for(self, placed: Any) -> None:
        """Wait until a data set is loaded, raising what its loading raised."""
        try:
            ray.get(placed)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None

    def run(
        self,
        work: Iterator[Replicate | None],
        job_of: Callable[[Replicate], TrialJob],
        data: Any,
        record: Record,
        room: Room,
        slots: int,
        stopping: threading.Event,
        folder: Path,
    ) -> None:
        """Train what ``work`` yields, as many at once as there is room, until it ends or ``stopping`` is set.

        One Tune run serves the whole search, so that processes stay warm from stage to stage.

        Raises:
            Exception: what ``work`` or ``record`` raised.
        """

        def trainable(config: dict[str, Any]) -> None:
            if config["job"] is None:
                _wait(lambda: tune.report({"waiting": True}))
                return
            here = {"node": ray.get_runtime_context().get_node_id(), "gpus": ray.get_gpu_ids()}

            def send(message: dict[str, Any]) -> None:
                tune.report({"message": json.dumps(message)})  # as text: Tune flattens nested figures

            run_trial(TrialJob(**config["job"]), ray.get(data), send, here)

        while True:
            hand = _Hand(work, job_of, record, stopping, slots, lambda: self.slots(room))
            try:
                self._fit(hand, trainable, room, folder)
            except tune.TuneError as error:
                # Tune does not know Ray's word for a process that was ended for lack of memory, and gives up.
                if hand.fault is not None or "OutOfMemoryError" not in str(error):
                    raise hand.fault or error from None
                hand.lose_memory()
            else:
                if hand.fault is not None:
                    raise hand.fault
                return

    def _fit(self, hand: _Hand, trainable: Callable[[dict[str, Any]], None], room: Room, folder: Path) -> None:
        """Run Tune once."""
        tuner = tune.Tuner(
            tune.with_resources(trainable, room.as_resources()),
            tune_config=tune.TuneConfig(
                search_alg=hand, num_samples=-1, reuse_actors=True, max_concurrent_trials=room.concurrency
            ),
            run_config=tune.RunConfig(
                name="trials", storage_path=str(folder), verbose=0, callbacks=[_Watch(hand)], stop=_Stop(hand)
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
    """Keep a slot warm while a stage waits for its last trials: report ever more rarely, until told to stop.

    Tune lets an idle process go, and in a race for new ones the slot can stay lost for the rest of the run.
    """
    start = time.monotonic()
    while True:
        report()
        time.sleep(min(LONGEST_WAIT, max(SHORTEST_WAIT, 0.1 * (time.monotonic() - start))))


@dataclass
class _Handed:
    replicate: Replicate | None  # None for a slot that waits
    started_at: float | None = None  # monotonic; None until it gets its process
    stored_as: int | None = None  # the store's trial_id
    outcome: Outcome | None = None


class _Hand(Searcher):
    """Hands Tune one replicate after another, and tells the record what becomes of them."""

    def __init__(
        self,
        work: Iterator[Replicate | None],
        job_of: Callable[[Replicate], TrialJob],
        record: Record,
        stopping: threading.Event,
        slots: int,
        count_slots: Callable[[], int],
    ) -> None:
        super().__init__()
        self._count_slots = count_slots
        self._slots = slots
        self._cold_since: float | None = time.monotonic()  # since when a slot has had no process; None if all have one
        self._released = 0  # slots that were told to stop waiting, for work that has not started yet
        self._work = work
        self._job_of = job_of
        self._record = record
        self._stopping = stopping
        self._handed: dict[str, _Handed] = {}  # by Tune's trial id
        self._next: Replicate | None = None  # taken from the work, not handed out yet
        self._finished = False
        self.fault: BaseException | None = None

    @property
    def ending(self) -> bool:
        """Whether nothing more is to run."""
        return self._stopping.is_set() or self.fault is not None

    def may_stop_waiting(self) -> bool:
        """Whether one more slot that waits is to stop: something can be trained there, or nothing ever will be."""
        if self._finished or self.ending:
            return True
        if self._is_cold():
            return False
        unstarted = [handed for handed in self._handed.values() if handed.started_at is None]
        if sum(handed.replicate is not None for handed in unstarted) > self._released:
            self._released += 1
            return True
        # Tune asks for nothing while a slot that is to wait is first in line; it can have this one's place.
        if self._released or not self._look_ahead():
            return False
        self._released += not unstarted  # nobody is in line, as under a cap on concurrency: this place is for the work
        return True

    def _look_ahead(self) -> bool:
        """Take the next replicate from the work, if there is one now; say whether there is."""
        if self._next is None and not self._finished and self.fault is None:
            try:
                self._next = next(self._work)
            except StopIteration:
                self._finished = True
            except Exception as error:
                self.fault = error
        return self._next is not None

    def _is_cold(self) -> bool:
        """Whether a slot's process is still to start.

        Until it has, slots that end a trial wait: Tune would give what the new process is for to whichever process is
        free first, and cancel the new one, again and again where trials are shorter than a start.
        """
        if self._cold_since is None:
            return False
        running = sum(handed.started_at is not None for handed in self._handed.values())
        if running >= self._slots:
            self._cold_since = None
        elif time.monotonic() - self._cold_since > START_SECONDS and running:
            self._slots, self._cold_since = (
                running,
                None,
            )  # a slot is gone: its node was lost, or others took it
        return self._cold_since is not None

    def set_search_properties(self, *_: Any, **__: Any) -> bool:
        return True

    def suggest(self, trial_id: str) -> Any:
        if self.ending:
            return str(Searcher.FINISHED)
        replicate = None
        if not self._is_cold():
            self._look_ahead()
            replicate, self._next = self._next, None
        if self._finished or self.ending:
            return str(Searcher.FINISHED)
        self._handed[trial_id] = _Handed(replicate)
        return {"job": asdict(self._job_of(replicate)) if replicate else None}

    def start(self, trial_id: str) -> None:
        """Take note that a trial got its process."""
        handed = self._handed[trial_id]
        handed.started_at = time.monotonic()
        if (replicate := handed.replicate) is not None:
            self._released = max(0, self._released - 1)
            handed.stored_as = self._telling(lambda: self._record.start(replicate))

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        handed = self._handed.get(trial_id)
        if handed is None or handed.stored_as is None or "message" not in result:
            return
        stored_as, message = handed.stored_as, json.loads(result["message"])
        if message["outcome"] is not None:
            handed.outcome = Outcome.read(message["outcome"])
        if message["where"] is not None:
            self._telling(lambda: self._record.place(stored_as, message["where"]))
        self._telling(
            lambda: self._record.report(
                stored_as, {int(epoch): figures for epoch, figures in message["epochs"].items()}
            )
        )

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        handed = self._handed.get(trial_id)
        if handed is None or error:
            return  # of an error, `died` is told more
        if handed.outcome is None and result is not None:
            self.on_trial_result(trial_id, result)
        self._end(trial_id, handed.outcome)

    def died(self, trial_id: str, error: str) -> None:
        """Take note that a trial's process is gone."""
        handed = self._handed.get(trial_id)
        self._cold_since = self._cold_since or time.monotonic()
        with contextlib.suppress(NoRoom):  # a node may come back; what is left is waited for
            self._slots = min(self._slots, self._count_slots())
        if handed is not None:
            self._end(trial_id, handed.outcome or self._cause(handed, error))

    def lose_memory(self) -> None:
        """End what runs: Ray ended a process for lack of memory, and Tune with it. One alone was the one."""
        running = [trial_id for trial_id, handed in self._handed.items() if handed.stored_as is not None]
        alone = Outcome(cause=Cause.OUT_OF_MEMORY, detail="Ray ended its process, as its node ran out of memory")
        among = Outcome(cause=Cause.LOST, detail="Ray ended a process for lack of memory while it ran")
        for trial_id in list(self._handed):
            self._end(trial_id, alone if running == [trial_id] else among)

    def _cause(self, handed: _Handed, error: str) -> Outcome:
        """Tell from the clock and from Ray's words why a process is gone."""
        limit = self._job_of(handed.replicate).timeout if handed.replicate else None
        if limit is not None and handed.started_at and time.monotonic() - handed.started_at >= limit:
            return Outcome(cause=Cause.TIMEOUT, detail=f"no end after {limit:g} s; the log shows where it was")
        if "OutOfMemory" in error or "low on memory" in error:
            return Outcome(cause=Cause.OUT_OF_MEMORY, detail=error[-2000:])
        if "node has died" in error:
            return Outcome(cause=Cause.LOST, detail="its node was lost")
        last_line = (error.strip().splitlines() or [""])[-1]
        return Outcome(cause=Cause.LOST, detail=f"its process died: {last_line[:500]}")

    def _end(self, trial_id: str, outcome: Outcome | None) -> None:
        handed = self._handed.pop(trial_id)
        stored_as = handed.stored_as
        if handed.replicate is None:
            return
        if stored_as is None:
            self._record.hand_back(handed.replicate)
        elif outcome is not None and not (self.ending and outcome.cause == Cause.LOST):
            self._telling(lambda: self._record.finish(stored_as, outcome))
        elif not self.ending:  # a trial that was stopped is ended by the driver, with the driver's reason
            self._telling(
                lambda: self._record.finish(stored_as, Outcome(cause=Cause.LOST, detail="it ended without a word"))
            )

    def _telling(self, tell: Callable[[], Any]) -> Any:
        """Call the record; what it raises ends the run, as Tune would only log it."""
        if self.fault is None:
            try:
                return tell()
            except Exception as error:
                self.fault = error
        return None

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles what could restore a run; nothing here may, as the store remembers

    def save_to_dir(self, *_: Any, **__: Any) -> None:
        """Keep nothing, for the same reason."""


class _Watch(tune.Callback):
    """Tells when a trial gets its process, as Tune asks for it earlier than that, and when it loses it."""

    def __init__(self, hand: _Hand) -> None:
        self._hand = hand

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._hand.start(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        file = Path(trial.error_file or "")
        self._hand.died(trial.trial_id, file.read_text() if file.is_file() else "")


class _Stop(tune.Stopper):
    """Ends the run when it is to stop; Tune asks about ten times a second."""

    def __init__(self, hand: _Hand) -> None:
        self._hand = hand

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return "waiting" in result and self._hand.may_stop_waiting()

    def stop_all(self) -> bool:
        return self._hand.ending
