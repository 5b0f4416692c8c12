"""A trial's children end with it; those that were there before, and helpers of libraries, do not."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing import resource_tracker

import psutil
import pytest

from search.engine.child_processes import kill_left_behind

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def older() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(SLEEP) as process:
        yield process
        process.kill()


def test_children_and_grandchildren_are_killed_and_older_ones_are_not(older: subprocess.Popen[bytes]) -> None:
    with kill_left_behind():
        child = subprocess.Popen(["sh", "-c", "sleep 600 & exec sleep 600"])
        forked = os.fork()
        if forked == 0:  # as data loaders do
            time.sleep(600)
            os._exit(0)
        while not (family := psutil.Process(child.pid).children()):
            time.sleep(0.01)
    assert child.wait(10) == -signal.SIGKILL
    assert os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]) == -signal.SIGKILL
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
    assert older.poll() is None


def test_children_are_killed_if_the_trial_raises() -> None:
    with suppress(SystemExit), kill_left_behind():
        child = subprocess.Popen(SLEEP)
        raise SystemExit(0)
    assert child.wait(10) == -signal.SIGKILL


def test_helpers_of_libraries_stay() -> None:
    with kill_left_behind():
        resource_tracker.ensure_running()
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=time.sleep, args=(600,))
        process.start()
    process.join(10)
    assert process.exitcode == -signal.SIGKILL
    assert psutil.Process(resource_tracker._resource_tracker._pid).status() != psutil.STATUS_ZOMBIE
