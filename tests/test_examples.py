"""The examples, run from their own folders as their READMEs say, with fewer points, seeds and epochs."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.outcomes import EXAMPLES, NAMES, command_of, path_of_environment
from tests.search.program import run, seqnorm_json

FEWER = ["--gm", "1,2", "--gc", "1", "--seeds", "1", "--test-seeds", "1"]
SHORT = {"torchrun": ["--epochs", "1"], "timm_style": ["--epochs", "1", "--width", "4"], "command": ["--epochs", "1"]}
METRICS = {"command": "val_acc", "timm_style": "eval_top1", "regression": "mae"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh home, with the environment active."""
    monkeypatch.setenv("PATH", path_of_environment())
    return tmp_path / "home"


def ours(script: str) -> list[str]:
    """Return the lines of a script that are there for seqnorm."""
    return [line for line in script.splitlines() if "seqnorm" in line or "trial" in line]


def by_hand(folder: Path, *words: str) -> str:
    """Run an example's script in a folder; return what it prints."""
    environ = os.environ | {"PATH": path_of_environment()}
    done = subprocess.run(words, cwd=folder, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_tuned_as_its_readme_says(
    shared_ray: None, home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(EXAMPLES / name)
    words, _, arguments = command_of(name).partition(" -- ")
    given = [*shlex.split(words), *FEWER, "--", *shlex.split(arguments), *SHORT.get(name, [])]
    done = run("--home", str(home), *given)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = seqnorm_json(home, "show", "last")
    assert shown["status"] == "done"
    assert shown["metric"] == METRICS.get(name, "accuracy")
    assert (shown["progress"]["finished"], shown["progress"]["failed"]) == (shown["progress"]["total"], 0)
    assert shown["chosen"]["gm"] in (1, 2)
    assert [path.name for path in EXAMPLES.joinpath(name).iterdir() if path.name not in ("README.md", "train.py")] == []


@pytest.mark.parametrize("name", ["pytorch", "torchrun"])
def test_a_script_needs_four_lines_and_trains_without_them_too(name: str, tmp_path: Path) -> None:
    script = (EXAMPLES / name / "train.py").read_text()
    assert len(ours(script)) == 4
    assert "BatchNorm2d" in script
    plain = "\n".join(line for line in script.splitlines() if line not in ours(script))
    compile(plain, name, "exec")


def test_the_script_that_stays_as_it_is_knows_nothing_of_seqnorm() -> None:
    assert ours((EXAMPLES / "command" / "train.py").read_text()) == []


def test_the_script_in_timms_manner_needs_the_import_and_one_line() -> None:
    assert len(ours((EXAMPLES / "timm_style" / "train.py").read_text())) == 2


@pytest.mark.parametrize("name", NAMES)
def test_a_script_of_an_example_runs_by_hand(name: str, tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / name / "train.py", tmp_path)
    launcher = ["torchrun", "--standalone", "--nproc-per-node", "2"] if name == "torchrun" else [sys.executable]
    assert by_hand(tmp_path, *launcher, "train.py", *SHORT.get(name, []))


def test_every_example_is_listed_and_has_the_outcome_in_its_readme() -> None:
    listed = (EXAMPLES / "README.md").read_text()
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir()}
    assert folders == {*NAMES, "own_recipe"}
    for name in folders:
        assert f"[{name}]({name})" in listed
    for name in NAMES:
        readme = (EXAMPLES / name / "README.md").read_text()
        assert "Stage gm" in readme and "Test" in readme and "→" in readme, name
