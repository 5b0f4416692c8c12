"""The commit of a folder: what it was, and whether tracked files were changed since."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from search.plan import commit
from search.plan.commit import NO_REPOSITORY, UNKNOWN, read_commit

AUTHOR = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false")


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *AUTHOR, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_commit_is_dirty_once_a_tracked_file_is_changed_and_not_by_what_a_program_writes(tmp_path: Path) -> None:
    assert read_commit(str(tmp_path)) == NO_REPOSITORY
    git(tmp_path, "init", "-q")
    (tmp_path / "train.py").write_text("print(1)\n")
    git(tmp_path, "add", "train.py")
    git(tmp_path, "commit", "-q", "-m", "Train")
    head = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "runs.log").write_text("loss 1\n")
    assert read_commit(str(tmp_path)) == head
    (tmp_path / "train.py").write_text("print(2)\n")
    assert read_commit(str(tmp_path)) == f"{head}-dirty"


def test_without_git_a_commit_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_commit(str(tmp_path)) == UNKNOWN


def test_a_git_that_hangs_is_waited_for_no_longer_than_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "git"
    slow.write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(commit, "SECONDS", 0.05)
    assert read_commit(str(tmp_path)) == UNKNOWN


def test_a_folder_that_git_refuses_as_another_users_has_an_unknown_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A web server under another user than the worker would else see another commit than the worker, for ever."""
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "Begin")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    assert read_commit(str(tmp_path)) == UNKNOWN
