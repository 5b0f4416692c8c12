"""Processes for Tune's own controller, on a simulated clock: no Ray is started, and a minute takes no time.

They stand where Tune has its ``RayActorManager``, whose methods they have.
"""

from __future__ import annotations

import heapq
import itertools
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

REPORT_SECONDS = 0.1  # between the reports of a trial that waits
PASSING_ON_SECONDS = 0.05  # of a process from one trial to the next
END = {"where": None, "epochs": {}, "outcome": {"value": 0.9, "cause": None, "detail": ""}}


@dataclass(eq=False)
class Process:
    """What Tune calls an actor."""

    config: dict[str, Any]  #: of the trial that it runs
    on_start: Callable[[Process], None]
    starting: bool = False
    set_on_stop: Callable[[Any], None] = field(default=lambda _: None)
    set_on_error: Callable[[Any], None] = field(default=lambda _: None)


class Processes:
    """Runs what Tune asks for, in so many slots at once."""

    def __init__(self, slots: int, start_seconds: Callable[[], float], train_seconds: Callable[[], float]) -> None:
        self.slots = slots
        self.clock = 0.0
        self.counts: Counter[str] = Counter()  # processes that started, were cancelled before, were let go after
        self.refusals = 0  # processes that will not be passed on, as their last trial does not stop
        self._start_seconds, self._train_seconds = start_seconds, train_seconds
        self._requested: list[Process] = []
        self._live_actors_to_ray_actors_resources: dict[Process, tuple[None]] = {}  # Tune reads it; there is no actor
        self._events: list[tuple[float, int, Process, Callable[[], None]]] = []
        self._turn = itertools.count()

    num_pending_actors = property(lambda self: len(self._requested))
    num_live_actors = property(lambda self: len(self._live_actors_to_ray_actors_resources))
    num_actor_tasks = 0

    def next(self, timeout: float) -> bool:
        """Let the next event happen."""
        while self._requested and self.num_live_actors < self.slots:
            self._begin_to_start(self._requested.pop(0))
        if not self._events or self._events[0][0] > self.clock + timeout:
            self.clock += timeout
            return False
        self.clock, _, _, happen = heapq.heappop(self._events)
        happen()
        return True

    def add_actor(self, *, kwargs: dict[str, Any], on_start: Callable[[Process], None], **_: Any) -> Process:
        self._requested.append(Process(kwargs["config"], on_start))
        return self._requested[-1]

    def remove_actor(self, tracked_actor: Process, **_: Any) -> bool:
        if tracked_actor in self._requested:
            self._requested.remove(tracked_actor)
            return False
        self.counts["cancelled" if tracked_actor.starting else "let go"] += 1
        self.clear_actor_task_futures(tracked_actor)
        del self._live_actors_to_ray_actors_resources[tracked_actor]
        return True

    def schedule_actor_task(
        self, tracked_actor: Process, method_name: str, args: Any = (), on_result: Any = None, **_: Any
    ) -> None:
        if method_name == "reset":
            tracked_actor.config = args[0]
            passed_on, self.refusals = self.refusals == 0, max(0, self.refusals - 1)
            self._after(PASSING_ON_SECONDS, tracked_actor, lambda: on_result(tracked_actor, passed_on))
        elif method_name == "train" and tracked_actor.config["job"] is None:
            self._after(REPORT_SECONDS, tracked_actor, lambda: on_result(tracked_actor, {"waiting": True}))
        elif method_name == "train":
            result = {"message": json.dumps(END), "done": True}
            self._after(self._train_seconds(), tracked_actor, lambda: on_result(tracked_actor, result))

    def is_actor_started(self, tracked_actor: Process) -> bool:
        return tracked_actor in self._live_actors_to_ray_actors_resources

    def is_actor_failed(self, tracked_actor: Process) -> bool:
        return False

    def clear_actor_task_futures(self, tracked_actor: Process) -> None:
        self._events = [event for event in self._events if event[2] is not tracked_actor]
        heapq.heapify(self._events)

    def _begin_to_start(self, process: Process) -> None:
        process.starting = True
        self._live_actors_to_ray_actors_resources[process] = (None,)
        self._after(self._start_seconds(), process, lambda: self._start(process))

    def _start(self, process: Process) -> None:
        process.starting = False
        self.counts["started"] += 1
        process.on_start(process)

    def _after(self, seconds: float, process: Process, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.clock + seconds, next(self._turn), process, happen))
