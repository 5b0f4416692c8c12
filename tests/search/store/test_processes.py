"""A process is recognized by what neither the clock nor another set of pids can change."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace

import pytest

from search.store.processes import ProcessIdentity


def test_a_process_that_runs_has_not_exited_and_one_that_ended_has() -> None:
    child = subprocess.Popen(["sleep", "60"])
    running = ProcessIdentity.of(child.pid)
    assert not ProcessIdentity.this_process().has_exited
    assert not running.has_exited
    child.kill()
    child.wait(10)
    assert running.has_exited


def test_a_process_that_its_parent_has_not_waited_for_has_exited() -> None:
    child = subprocess.Popen(["true"])
    identity = ProcessIdentity.of(child.pid)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie is left
    assert identity.has_exited
    child.wait(10)


def test_another_process_with_the_same_pid_is_another_process() -> None:
    assert replace(ProcessIdentity.this_process(), start="1").has_exited


@pytest.mark.parametrize("elsewhere", [{"host": "another"}, {"boot": "another"}, {"boot": ""}])
def test_nothing_is_known_about_processes_of_other_hosts_kernels_and_containers(elsewhere: dict[str, str]) -> None:
    assert not replace(ProcessIdentity.this_process(), pid=2**22, **elsewhere).has_exited


def test_the_clock_takes_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    import psutil

    before = ProcessIdentity.this_process()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    monkeypatch.setattr(psutil.Process, "create_time", lambda _: 0.0)
    assert ProcessIdentity.this_process() == before
    assert not before.has_exited


def test_an_identity_of_an_older_version_is_read_and_says_nothing() -> None:
    old = ProcessIdentity.parse({"host": ProcessIdentity.this_process().host, "pid": 2**22, "started": 1.5})
    assert not old.has_exited
