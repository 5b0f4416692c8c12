"""What a driver that was killed leaves behind is removed, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from search.engine.locked_folder import LOCK_FILE
from search.engine.orphans import (
    DRIVER_MODULE,
    MARK_VARIABLE,
    clean_up,
    kill_processes,
)
from search.engine.ray_folder import PREFIX


def test_processes_that_carry_the_mark_are_ended_and_others_live_on() -> None:
    sleep = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
    marked, other = (
        subprocess.Popen(sleep, env={**os.environ, MARK_VARIABLE: mark}, stdout=subprocess.PIPE, start_new_session=True)
        for mark in ("of this test", "of another")
    )
    try:
        for process in (marked, other):
            assert process.stdout is not None
            process.stdout.readline()  # it runs under its own name, with its own environment
        kill_processes("of this test")
        assert marked.poll() is not None
        assert other.poll() is None
    finally:
        for process in (marked, other):
            process.kill()
            process.communicate()


def test_processes_of_a_driver_that_is_gone_are_killed_and_those_of_a_live_one_are_not() -> None:
    sleep = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
    words = {"gone": ["trial"], "live": ["trial"], "live driver": [DRIVER_MODULE]}
    started = {
        name: subprocess.Popen(
            [*sleep, *more], env={**os.environ, MARK_VARIABLE: name.split()[0]}, stdout=subprocess.PIPE
        )
        for name, more in words.items()
    }
    try:
        for process in started.values():
            assert process.stdout is not None
            process.stdout.readline()
        clean_up([])
        assert {name for name, process in started.items() if process.poll() is None} == {"live", "live driver"}
    finally:
        for process in started.values():
            process.kill()
            process.communicate()


HOLDER = """
import sys
from pathlib import Path
from search.engine.locked_folder import LockedFolder
print(LockedFolder(Path(sys.argv[1]), sys.argv[2]).path, flush=True)
sys.stdin.read()
"""


def test_folders_of_drivers_that_were_killed_are_removed_and_those_of_live_ones_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary, search = tmp_path / "temporary", tmp_path / "search"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    foreign = temporary / f"{PREFIX}notes"
    foreign.mkdir()
    processes, folders = [], []
    for parent, prefix in ((temporary, PREFIX), (search, "ray-")):
        for _ in range(2):
            words = [sys.executable, "-c", HOLDER, str(parent), prefix]
            process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            processes.append(process)
            folders.append(Path(process.stdout.readline().strip()))
    for process in processes[::2]:
        process.kill()
        process.wait(10)
    clean_up([search])
    assert [folder.exists() for folder in (*folders, foreign)] == [False, True, False, True, True]
    for process in processes:
        process.communicate()


def test_folders_that_another_user_has_laid_out_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (folder := tmp_path / f"{PREFIX}theirs").mkdir()
    (folder / LOCK_FILE).touch()
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
        clean_up([tmp_path / "search"])
    assert folder.exists()
    clean_up([tmp_path / "search"])
    assert not folder.exists()
