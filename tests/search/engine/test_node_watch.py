"""The watch over a cluster: with answers made up, and over a private Ray whose processes are killed and frozen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from search.engine import node_watch
from search.engine.node_watch import ClusterState, NodeWatch
from search.store.processes import ProcessIdentity
from tests.search import watched_ray

# Answers


def state_of(**alive: bool) -> ClusterState:
    nodes = [{"NodeID": node, "Alive": lives, "Resources": {"CPU": 1.0}} for node, lives in alive.items()]
    return ClusterState(nodes=nodes, free={})


class FakeRay:
    """Answers what it is told to, or nothing while it is frozen."""

    def __init__(self, *answers: ClusterState | Exception) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.going = threading.Event()
        self.going.set()

    def ask(self) -> ClusterState:
        self.asked += 1
        self.going.wait(30)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., NodeWatch]]:
    monkeypatch.setattr(node_watch, "ASK_SECONDS", 0.01)
    made: list[tuple[FakeRay, NodeWatch]] = []

    def make(ray: FakeRay, servers: list[ProcessIdentity] | None = None) -> NodeWatch:
        made.append((ray, NodeWatch(ray.ask, "mine", servers or [])))
        return made[-1][1]

    yield make
    for ray, each in made:
        ray.going.set()
        each.close()


def wait_until(true: Callable[[], Any], seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.005)


def test_the_last_answer_is_kept_while_ray_is_silent(watch: Callable[..., NodeWatch]) -> None:
    ray = FakeRay(state_of(mine=True, other=True))
    watched = watch(ray)
    assert watched.wait_for_state(10) == state_of(mine=True, other=True)
    ray.going.clear()
    wait_until(lambda: watched.silent_seconds() > 0.2)
    assert watched.state == state_of(mine=True, other=True)
    assert watched.own_node_alive()
    ray.going.set()
    wait_until(lambda: watched.silent_seconds() < 0.1)


def test_before_the_first_answer_nothing_is_known_and_the_silence_counts(watch: Callable[..., NodeWatch]) -> None:
    ray = FakeRay(state_of(mine=True))
    ray.going.clear()
    watched = watch(ray)
    assert watched.wait_for_state(0.05) is None
    assert watched.silent_seconds() >= 0.05
    assert watched.own_node_alive()


def test_a_question_that_raises_is_no_answer_and_is_asked_again(watch: Callable[..., NodeWatch]) -> None:
    ray = FakeRay(state_of(mine=True), RuntimeError("no GCS"))
    watched = watch(ray)
    wait_until(lambda: ray.asked > 5)
    assert watched.state == state_of(mine=True)
    asked = ray.asked
    assert watched.silent_seconds() > 0
    ray.answers = [state_of(mine=True, other=True)]
    wait_until(lambda: watched.state == state_of(mine=True, other=True))
    assert ray.asked > asked


def test_the_own_node_is_dead_when_ray_says_so_of_it_and_of_no_other(watch: Callable[..., NodeWatch]) -> None:
    assert watch(FakeRay(state_of(mine=True, other=False))).wait_for_state(10)
    ray = FakeRay(state_of(mine=True, other=False))
    watched = watch(ray)
    assert watched.wait_for_state(10)
    assert watched.own_node_alive()
    ray.answers = [state_of(mine=False, other=True)]
    wait_until(lambda: not watched.own_node_alive())
    assert [node["NodeID"] for node in watched.state.nodes if node["Alive"]] == ["other"]  # type: ignore[union-attr]


def test_the_own_node_is_dead_when_its_server_has_ended_though_ray_still_answers(
    watch: Callable[..., NodeWatch],
) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as server:
        watched = watch(FakeRay(state_of(mine=True)), [ProcessIdentity.of(server.pid)])
        assert watched.wait_for_state(10)
        assert watched.own_node_alive()
        server.kill()
        wait_until(lambda: not watched.own_node_alive())  # a zombie: nobody has asked for its exit status
        server.wait()
        assert not watched.own_node_alive()


# A private Ray


class Watched:
    """An executor on a private Ray in another process."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, watched_ray.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": f"{Path(__file__).parents[3]}{os.pathsep}{os.environ['PYTHONPATH']}"},
        )
        self.servers: dict[str, int] = next(self._answers())
        self.wait_for(lambda known: known["alive"] == [True])

    def _answers(self) -> Iterator[dict[str, Any]]:
        assert self.process.stdout is not None
        return (json.loads(line) for line in self.process.stdout if line.startswith("{"))  # Ray prints, too

    def wait_for(self, true: Callable[[dict[str, Any]], bool], seconds: float = 30) -> dict[str, Any]:
        until = time.monotonic() + seconds
        for known in self._answers():
            if true(known):
                return known
            assert time.monotonic() < until, f"it did not come about: {known}"
        pytest.fail("the process ended")

    def close(self) -> float:
        """Close the executor; return how long it took."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return float(self.wait_for(lambda known: "closed" in known)["closed"])


@pytest.fixture
def watched(own_ray: None) -> Iterator[Watched]:
    watched = Watched()
    descendants = psutil.Process(watched.process.pid).children(recursive=True)
    yield watched
    for process in [*descendants, psutil.Process(watched.process.pid)]:
        if process.is_running():
            process.kill()
    with watched.process:  # closes its pipes
        pass


def test_a_driver_knows_that_ray_is_silent_that_it_answers_again_and_that_its_raylet_was_killed(
    watched: Watched,
) -> None:
    os.kill(watched.servers["gcs_server"], signal.SIGSTOP)
    known = watched.wait_for(lambda known: known["silent_seconds"] > 3)
    assert known["own_node_alive"]
    assert known["alive"] == [True]
    os.kill(watched.servers["gcs_server"], signal.SIGCONT)
    watched.wait_for(lambda known: known["silent_seconds"] < 1)
    os.kill(watched.servers["raylet"], signal.SIGKILL)
    watched.wait_for(lambda known: not known["own_node_alive"])
    watched.wait_for(lambda known: known["alive"] == [False])
    assert watched.close() < 10


def test_a_driver_leaves_a_ray_that_does_not_answer(watched: Watched) -> None:
    os.kill(watched.servers["gcs_server"], signal.SIGSTOP)
    watched.wait_for(lambda known: known["silent_seconds"] > 2)
    assert watched.close() < 10
