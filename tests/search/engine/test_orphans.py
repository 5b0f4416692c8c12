"""What a driver that was killed leaves behind is removed, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from search.engine import orphans
from search.engine.orphans import MARK_VARIABLE, kill_processes, ray_folder_prefix, remove_folders


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


def test_folders_of_a_driver_and_of_clusters_whose_driver_is_gone_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    ended = subprocess.Popen(["true"])
    ended.wait()
    gone, of_driver = tmp_path / "temporary" / f"{ray_folder_prefix(ended.pid)}abc", tmp_path / "search" / "ray-mark"
    stay = [
        tmp_path / "temporary" / f"{ray_folder_prefix(os.getpid())}abc",
        tmp_path / "temporary" / f"{orphans.RAY_FOLDER_PREFIX}notes-abc",
        tmp_path / "search" / "ray-another",
    ]
    for folder in (gone, of_driver, *stay):
        (folder / "session").mkdir(parents=True)
    remove_folders(tmp_path / "search", "mark")
    assert not gone.exists()
    assert not of_driver.exists()
    assert all(folder.exists() for folder in stay)
