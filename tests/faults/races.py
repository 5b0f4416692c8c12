"""Races without Ray: persons, drivers, workers and a sweeper take their transactions in an order that a seed draws.

Each actor is a generator that yields between two transactions. One after another they give every serial order there
is, and the same one for the same seed; in threads of their own they also meet inside the database.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

from search.engine.recorder import Recorder
from search.plan.sequence import run_sequence
from search.settings import Settings
from search.store.database import open_engine
from search.vocabulary.errors import Conflict, Fenced
from search.vocabulary.outcome import Outcome
from search.vocabulary.secret import SecretUrl
from search.vocabulary.states import Cause
from tests.faults import drivers
from tests.faults.history import History
from tests.faults.invariants import Bounds, find_violations
from tests.faults.observer import Observer
from tests.faults.people import Person
from tests.faults.remains import Remains, read_searches
from tests.search.stored import submit

COMMANDS = ["pause", "resume", "cancel", "retry", "archive"]
WEIGHTS = [4, 4, 2, 1, 1]
FATES = ["finish", "finish", "leave", "give up", "interrupt", "fail", "die", "die", "freeze", "freeze"]
STEPS = 400  # that a race may take
LITTLE = {"gm": [8], "gc": [4], "seeds": 1, "test_seeds": 1}

Actor = Iterator[None]


class Race:
    """One race over one search."""

    def __init__(self, seed: int, url: str, settings: Settings) -> None:
        self.history, self._url = History(seed), url
        self._chance = random.Random(seed)
        self._settings = settings
        self._search_id = submit(url, **LITTLE)
        self._engine = open_engine(url)
        self._recorders: list[Recorder] = []
        self._calm = threading.Event()  # set when persons and faults are over

    def run(self, threads: bool) -> list[str]:
        """Run it to its end; return the violations."""
        observer = Observer(open_engine(self._url, read_only=True), self.history, follows=threads)
        people = [Person(self._settings, self.history) for _ in range(2)]
        busy = [self._give(person, self._branch()) for person in people]
        others = [self._work(self._branch()), self._work(self._branch()), self._sweep(self._branch())]
        try:
            if threads:
                _run_threads([*busy, *others], self._calm, len(busy))
            else:
                self._run_in_turn(busy, others, observer)
            self._settle(observer)
            return self._check()
        finally:
            observer.stop()
            for closing in [*people, *self._recorders]:
                closing.close()
            self._engine.dispose()

    def _branch(self) -> random.Random:
        return random.Random(self._chance.random())

    def _run_in_turn(self, busy: list[Actor], others: list[Actor], observer: Observer) -> None:
        actors = [*busy, *others]
        for step in range(STEPS):
            actor = self._chance.choice(actors)
            if next(actor, self) is self:
                actors.remove(actor)
                if not any(person in actors for person in busy):
                    break
            if step % 2:
                observer.look()
        self._calm.set()
        for actor in actors:
            for _ in actor:
                observer.look()

    def _settle(self, observer: Observer) -> None:
        """Let the leases of dead drivers end, and have a worker without faults run what is to be run."""
        for recorder in self._recorders:
            drivers.expire(self._engine, recorder)
        for _ in self._work(random.Random(0)):
            observer.look()
        drivers.sweep(self._engine, self._url)
        observer.look()

    def _check(self) -> list[str]:
        remains = Remains(searches=tuple(s for s in read_searches(self._engine) if s.id == self._search_id))
        return find_violations(self.history, remains, Bounds(lease_seconds=drivers.LEASE_SECONDS))

    # Those who take part

    def _give(self, person: Person, chance: random.Random) -> Actor:
        for command in chance.choices(COMMANDS, WEIGHTS, k=chance.randint(1, 3)):
            for _ in range(chance.randint(1, 6)):
                yield
            getattr(person, command)(self._search_id)

    def _sweep(self, chance: random.Random) -> Actor:
        while not self._calm.is_set():
            yield
            if chance.random() < 0.2:
                drivers.sweep(self._engine, self._url)

    def _work(self, chance: random.Random) -> Actor:
        """Claim and run until nothing is left to claim, once all is calm."""
        while True:
            calm, recorder = self._calm.is_set(), None
            yield
            with suppress(Conflict):
                recorder = drivers.claim(self._engine, self._url)
                if recorder is None and calm:
                    return
                for _ in range(0 if recorder or calm else 4):  # a worker waits before it asks again
                    yield
            if recorder is not None:
                self._recorders.append(recorder)
                with suppress(Fenced):
                    yield from self._drive(recorder, chance)

    def _drive(self, recorder: Recorder, chance: random.Random) -> Actor:
        """Live one life of a driver: to the end of the search, a request, being fenced, or the fate that is drawn."""
        fate, left = chance.choice(FATES), chance.randint(0, 6)
        for replicate in run_sequence(recorder._plan, recorder):
            assert replicate is not None
            yield
            requested = drivers.keep_lease(recorder)
            yield
            if requested:
                recorder.interrupt(Cause.CANCELLED, "requested")
                yield
                drivers.leave(recorder, "leave")
                return
            left -= 1
            trial_id = recorder.start(replicate)
            yield
            if left < 0 and not self._calm.is_set() and fate != "finish":
                if fate in ("die", "freeze"):
                    drivers.expire(self._engine, recorder)
                    if fate == "die":
                        if chance.random() < 0.3:
                            drivers.abandon(self._engine, self._url, self._search_id)
                        return
                    for _ in range(chance.randint(1, 10)):
                        yield
                    fate = "finish"
                else:
                    recorder.interrupt(Cause.CANCELLED, fate)
                    yield
                    drivers.leave(recorder, fate)
                    return
            recorder.finish(trial_id, Outcome(value=0.9))
        yield
        drivers.leave(recorder, "finish")


def _run_threads(actors: list[Actor], calm: threading.Event, num_busy: int) -> None:
    """Run the actors beside one another; ``calm`` is set once the first ones are done."""
    faults: list[BaseException] = []

    def run(actor: Actor) -> None:
        try:
            for _ in actor:
                time.sleep(0.002)
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=run, args=(actor,)) for actor in actors]
    for thread in threads:
        thread.start()
    for thread in threads[:num_busy]:
        thread.join()
    calm.set()
    for thread in threads[num_busy:]:
        thread.join()
    for fault in faults:
        raise fault


def race(seed: int, url: str, home, *, threads: bool = False) -> tuple[History, list[str]]:
    """Run a race in a database that may hold earlier ones; return its history and the violations."""
    settings = Settings(home=home, db=SecretUrl(url))
    race = Race(seed, url, settings)
    return race.history, race.run(threads)
