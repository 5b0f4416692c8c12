"""Nothing in the folder that a person stands in gets into a driver, and relative paths mean what they meant."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from search.engine.working_folder import absolute_paths, enter


def test_relative_paths_that_exist_are_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for folder in ("src", "sub/lib"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "token").touch()
    monkeypatch.chdir(tmp_path)
    given = {
        "PYTHONPATH": os.pathsep.join(["src", "./sub/lib", "/srv/x", "", "nowhere"]),
        "RAY_AUTH_TOKEN_PATH": "token",
        "PGSSLROOTCERT": "system",  # not a path
        "HOME": "src",  # not ours to change
        "PATH": "",
    }
    assert absolute_paths(given) == {
        "PYTHONPATH": os.pathsep.join([f"{tmp_path}/src", f"{tmp_path}/sub/lib", "/srv/x", str(tmp_path), "nowhere"]),
        "RAY_AUTH_TOKEN_PATH": f"{tmp_path}/token",
        "PGSSLROOTCERT": "system",
    }


def test_a_folder_is_entered_with_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "src")
    enter(tmp_path / "home")
    assert (Path.cwd(), os.environ["PYTHONPATH"]) == (tmp_path / "home", str(tmp_path / "src"))
