"""Slots under a simulated Tune, whose processes start, die and come back in any order. No Ray, no time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from search.engine.slots import Assignment, NoAssignment, Slots
from search.plan.selection import Point
from search.plan.stages import Replicate

MOST_SLOTS = 5


def replicate(seed: int, stage: str = "gm") -> Replicate:
    return Replicate(stage, Point("main", 1, 0), seed)


class Record:
    """Stages of replicates; each stage waits for the one before, as choices do."""

    def __init__(self, *sizes: int) -> None:
        self.stages = [[replicate(seed, f"stage {n}") for seed in range(size)] for n, size in enumerate(sizes)]
        self.waiting: list[Replicate] = []
        self.ahead: list[Replicate] = []  # taken from the work, not handed out
        self.ended: list[Replicate] = []

    @property
    def replicates(self) -> list[Replicate]:
        return [replicate for stage in self.stages for replicate in stage]

    def work(self) -> Iterator[Replicate | None]:
        for stage in self.stages:
            self.waiting += stage
            while not set(stage) <= set(self.ended):
                if self.waiting:
                    self.ahead.append(self.waiting.pop(0))
                    yield self.ahead[-1]
                else:
                    yield None

    def requeue(self, replicate: Replicate) -> None:
        self.waiting.insert(0, replicate)


class Tune:
    """Tune as far as slots are concerned: it asks whenever it may, and passes processes on.

    A new trial gets a process that is free; with none free, one is started where the cluster has room. A process that
    is free and that no new trial takes is let go.
    """

    def __init__(self, sizes: list[int], capacity: int, cap: int) -> None:
        self.record = Record(*sizes)
        self.capacity, self.cap, self.clock, self.asked = capacity, cap, 0.0, 0
        self.slots = Slots(self.record.work(), min(max(capacity, 1), cap))
        self.count = min(max(capacity, 1), cap)
        self.pending: list[str] = []  # trials without a process, in order
        self.passed_on: set[str] = set()  # those of them that a free process was passed on to
        self.running: dict[str, Assignment] = {}
        self.free = 0  # processes
        self.let_go = 0  # processes that no trial took
        self.finished = False
        self.step()

    # What Tune does

    def step(self, worth: bool = False) -> None:
        """Ask for trials until there is none to be had; then let processes go that none has taken.

        The first is ``worth`` a process that has just stopped waiting if it trains something.
        """
        while not self.finished:
            self.asked += 1
            trial = f"trial {self.asked}"
            given = self.slots.assign(trial)
            if given is NoAssignment.EXHAUSTED:
                self.finished = True
            if isinstance(given, NoAssignment):
                break
            assert given.replicate is not None or not worth, "a slot stopped waiting to wait again"
            worth = False
            if given.replicate is not None:
                self.record.ahead.remove(given.replicate)
            self.pending.append(trial)
            if self.free:
                self.free -= 1
                self.passed_on.add(trial)
            assert given.replicate is None or trial in self.passed_on, "a replicate is handed to a process that runs"
        if not self.finished:
            self.let_go += self.free
        self.free = 0

    def startable(self) -> list[str]:
        """Name the trials that may start now: those with a process, and as many others as the cluster has room for."""
        room = self.capacity - len(self.running) - len(self.passed_on)
        others = [trial for trial in self.pending if trial not in self.passed_on]
        return [*(trial for trial in self.pending if trial in self.passed_on), *others[: max(0, room)]]

    def start(self, trial: str) -> None:
        self.pending.remove(trial)
        self.passed_on.discard(trial)
        self.running[trial] = self.slots.start(trial, self.clock)
        assert self.running[trial].started_at == self.clock

    def report_waiting(self, trial: str) -> bool:
        """Have a trial that waits report; tell whether it was stopped."""
        assert self.running[trial].replicate is None
        if not self.slots.should_stop_waiting(trial):
            return False
        self.free += 1
        del self.running[trial]
        self.slots.end(trial)
        self.step(worth=True)
        return True

    def finish(self, trial: str) -> None:
        """Have a trial that trains end with a result."""
        ended = self.slots.end(trial).replicate
        assert ended is not None
        assert ended not in self.record.ended, "a replicate ends once"
        self.record.ended.append(ended)
        del self.running[trial]
        self.free += 1
        self.step()

    def lose(self, trial: str) -> None:
        """Have a trial's process die, whatever it does: one that starts included."""
        if trial in self.pending:
            self.pending.remove(trial)
        self.passed_on.discard(trial)
        self.running.pop(trial, None)
        lost = self.slots.lose(trial)
        if lost.replicate is not None:
            self.record.requeue(lost.replicate)
        self.step()

    def lose_everything(self) -> None:
        """Have Tune give up, and begin anew: as it does when Ray ends a process for lack of memory."""
        for lost in self.slots.lose_all().values():
            if lost.replicate is not None:
                self.record.requeue(lost.replicate)
        self.pending, self.passed_on, self.running, self.free = [], set(), {}, 0
        self.step()

    # What is looked at

    @property
    def training(self) -> list[str]:
        return [trial for trial, assignment in self.running.items() if assignment.replicate is not None]

    @property
    def idle(self) -> list[str]:
        return [trial for trial, assignment in self.running.items() if assignment.replicate is None]

    def assigned(self) -> list[Replicate]:
        """List what is handed out."""
        found = (self.slots.find(trial) for trial in [*self.pending, *self.running])
        return [each.replicate for each in found if each is not None and each.replicate is not None]

    def settle(self) -> None:
        """Let everything happen that happens without a trial's end: processes start, trials that wait report."""
        for _ in range(10 * MOST_SLOTS):
            for trial in self.startable():
                self.start(trial)
            stopped = [trial for trial in self.idle if self.report_waiting(trial)]
            if not stopped and not self.startable():
                return
        pytest.fail("slots stop and wait in a circle")

    def run(self) -> None:
        """Go on without faults until nothing is left to train; then have those that wait report once more."""
        while not self.finished:
            self.settle()
            if self.training:
                self.finish(self.training[0])
            else:
                assert self.finished, "nothing trains, and the search does not end"
        for trial in self.idle:
            assert self.report_waiting(trial), "a slot goes on waiting after the end"


class AnyOrder(RuleBasedStateMachine):
    """Everything that can happen to a search, in any order."""

    @initialize(
        sizes=st.lists(st.integers(0, 6), max_size=3),
        capacity=st.integers(1, MOST_SLOTS),
        cap=st.integers(1, MOST_SLOTS + 1),
    )
    def begin(self, sizes: list[int], capacity: int, cap: int) -> None:
        self.tune = Tune(sizes, capacity, cap)

    @precondition(lambda self: self.tune.startable())
    @rule(data=st.data())
    def a_process_starts(self, data: st.DataObject) -> None:
        self.tune.start(data.draw(st.sampled_from(self.tune.startable())))

    @precondition(lambda self: self.tune.idle)
    @rule(data=st.data())
    def a_trial_that_waits_reports(self, data: st.DataObject) -> None:
        self.tune.report_waiting(data.draw(st.sampled_from(self.tune.idle)))

    @precondition(lambda self: self.tune.training)
    @rule(data=st.data())
    def a_trial_ends(self, data: st.DataObject) -> None:
        self.tune.finish(data.draw(st.sampled_from(self.tune.training)))

    @precondition(lambda self: self.tune.running or self.tune.pending)
    @rule(data=st.data())
    def a_process_dies(self, data: st.DataObject) -> None:
        self.tune.lose(data.draw(st.sampled_from([*self.tune.running, *self.tune.pending])))

    @rule(data=st.data())
    def a_node_is_lost(self, data: st.DataObject) -> None:
        self.tune.capacity = data.draw(st.integers(0, self.tune.capacity))
        while len(self.tune.running) + len(self.tune.passed_on) > self.tune.capacity:
            self.tune.lose(data.draw(st.sampled_from([*self.tune.running, *sorted(self.tune.passed_on)])))

    @rule(capacity=st.integers(1, MOST_SLOTS))
    def nodes_join(self, capacity: int) -> None:
        self.tune.capacity = max(self.tune.capacity, capacity)
        self.tune.count = max(self.tune.count, min(self.tune.capacity, self.tune.cap))
        self.tune.slots.grow(min(self.tune.capacity, self.tune.cap))
        self.tune.step()

    @rule()
    def memory_runs_out(self) -> None:
        self.tune.lose_everything()

    @rule(seconds=st.floats(0, 1e6))
    def time_passes(self, seconds: float) -> None:
        self.tune.clock += seconds

    @rule()
    def no_slot_starves(self) -> None:
        """Once processes have started and trials that wait have reported, every process trains that can."""
        tune = self.tune
        tune.settle()
        processes = min(tune.capacity, tune.count)
        assert tune.finished or len(tune.running) == processes, "a slot that has come has its process"
        available = [*tune.record.waiting, *tune.record.ahead]
        assert not available or len(tune.training) == processes, "there is work, and a process that waits"

    @invariant()
    def every_replicate_is_in_one_place(self) -> None:
        record = self.tune.record
        places = [*record.waiting, *record.ahead, *self.tune.assigned(), *record.ended]
        assert len(places) == len(set(places)), "a replicate is handed out twice"
        opened = [stage for stage in record.stages if set(stage) & set(places)]
        assert set(places) == {each for stage in opened for each in stage}, "a replicate is forgotten"

    @invariant()
    def the_cap_is_kept(self) -> None:
        assert len(self.tune.pending) + len(self.tune.running) <= self.tune.count <= self.tune.cap

    @invariant()
    def every_process_has_a_trial(self) -> None:
        assert self.tune.let_go == 0, "Tune lets a process go that has no trial"

    @invariant()
    def every_slot_has_a_trial_until_nothing_is_left(self) -> None:
        trials = len(self.tune.pending) + len(self.tune.running)
        assert self.tune.finished or trials == self.tune.count

    def teardown(self) -> None:
        """The search ends: each replicate once, no trial goes on waiting, and Tune is told to end the rest."""
        if not hasattr(self, "tune"):
            return
        tune = self.tune
        tune.capacity = max(tune.capacity, 1)
        tune.run()
        assert sorted(tune.record.ended, key=repr) == sorted(tune.record.replicates, key=repr)
        assert tune.slots.is_over, "trials that wait for slots which may never come keep the search"


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


# One thing at a time


def test_nothing_to_train_needs_no_process() -> None:
    slots = Slots(iter([]), 2)
    assert slots.assign("a") is NoAssignment.EXHAUSTED
    assert slots.is_over


def test_every_slot_is_asked_for_at_once_and_waits_for_its_process() -> None:
    slots = Slots(iter([replicate(0), replicate(1)]), 2)
    assert slots.assign("a") == slots.assign("b") == Assignment(replicate=None)
    assert slots.assign("c") is NoAssignment.ALL_BUSY


def test_a_slot_trains_while_the_others_are_still_to_start() -> None:
    tune = Tune([3], capacity=3, cap=3)
    tune.start("trial 1")
    assert tune.report_waiting("trial 1")
    tune.start(tune.startable()[0])
    assert len(tune.training) == 1
    assert len(tune.pending) == 2


def test_a_slot_that_comes_after_an_hour_is_used() -> None:
    tune = Tune([9], capacity=1, cap=2)
    tune.slots.grow(2)
    tune.step()
    tune.settle()
    for _ in range(3):
        tune.clock += 1200
        tune.finish(tune.training[0])
        tune.settle()
    assert len(tune.training) == 1
    tune.capacity = 2
    tune.settle()
    assert len(tune.training) == 2


def test_a_slot_that_is_lost_and_comes_back_is_used() -> None:
    tune = Tune([9], capacity=2, cap=2)
    tune.settle()
    tune.capacity = 1
    tune.lose(tune.training[1])
    tune.settle()
    assert len(tune.training) == 1
    tune.clock += 3600
    tune.capacity = 2
    tune.settle()
    assert len(tune.training) == 2


def test_one_slot_stops_waiting_for_one_replicate() -> None:
    tune = Tune([1], capacity=3, cap=3)
    for trial in tune.startable():
        tune.start(trial)
    assert [tune.slots.should_stop_waiting(trial) for trial in list(tune.idle)] == [True, False, False]


def test_a_slot_that_dies_on_its_way_to_work_leaves_it_to_another() -> None:
    tune = Tune([1], capacity=2, cap=2)
    for trial in tune.startable():
        tune.start(trial)
    first, second = tune.idle
    assert tune.slots.should_stop_waiting(first)
    tune.lose(first)
    assert tune.slots.should_stop_waiting(second)


def test_what_was_taken_ahead_is_trained_after_all_processes_are_gone() -> None:
    tune = Tune([2], capacity=1, cap=1)
    tune.lose_everything()
    tune.run()
    assert len(tune.record.ended) == 2


def test_after_all_processes_are_gone_none_is_free() -> None:
    slots = Slots(iter([replicate(0), replicate(1)]), 1)
    slots.assign("a")
    slots.start("a", 0.0)
    assert slots.should_stop_waiting("a")
    slots.end("a")
    slots.lose_all()
    assert slots.assign("b") == Assignment(replicate=None)


def test_slots_that_never_came_do_not_keep_a_search_from_ending() -> None:
    tune = Tune([2], capacity=4, cap=4)
    tune.capacity = 1
    tune.run()
    assert len(tune.pending) == 3
    assert not tune.running
    assert tune.slots.is_over


def test_a_slot_that_waits_is_told_to_stop_when_nothing_is_left() -> None:
    tune = Tune([1], capacity=2, cap=2)
    tune.settle()
    (trial,) = tune.idle
    assert not tune.slots.should_stop_waiting(trial)
    tune.finish(tune.training[0])
    assert not tune.slots.is_over
    assert tune.report_waiting(trial)
    assert tune.slots.is_over


def test_what_the_work_raises_is_raised() -> None:
    def work() -> Iterator[Replicate]:
        raise RuntimeError("no choice")
        yield

    with pytest.raises(RuntimeError, match="no choice"):
        Slots(work(), 1).assign("a")
