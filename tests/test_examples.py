"""The examples, run from their own folders as their READMEs say, with fewer points, seeds and epochs."""

from __future__ import annotations

import runpy
import shlex
import sys
from pathlib import Path

import pytest

from tests.outcomes import EXAMPLES, NAMES, ROOT, command_of, outcome_in, path_of_environment
from tests.search.program import run, seqnorm_json

FEWER = ["--strategy", "grid", "--gm", "2", "--gc", "1", "--seeds", "1", "--test-seeds", "1"]
EPOCH = ["--epochs", "1"]
SHORT = {"pytorch": EPOCH, "command": EPOCH, "torchrun": EPOCH, "timm_style": [*EPOCH, "--width", "4"]}
LINES = {"pytorch": 4, "torchrun": 4, "timm_style": 2, "command": 0}  # a script needs for seqnorm


def ours(script: str) -> list[str]:
    """Return the lines of a script that are there for seqnorm."""
    return [line for line in script.splitlines() if "seqnorm" in line or "trial" in line]


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_tuned_as_its_readme_says(
    shared_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    home = tmp_path / "home"
    monkeypatch.chdir(EXAMPLES / name)
    monkeypatch.setenv("PATH", path_of_environment())
    words, _, arguments = command_of(name).partition(" -- ")
    done = run("--home", str(home), *shlex.split(words), *FEWER, "--", *shlex.split(arguments), *SHORT.get(name, []))
    assert done.returncode == 0, done.stdout + done.stderr
    shown = seqnorm_json(home, "show", "last")
    assert (shown["status"], shown["trials"]["failed"]) == ("done", 0)
    assert all(row["n"] == 1 and row["mean"] > 0 for row in (*shown["stages"][0]["candidates"], *shown["test"]))
    assert (shown["chosen"]["gm"], shown["chosen"]["gc"]) == (2, 1)
    assert {path.name for path in Path.cwd().iterdir()} == {"README.md", "train.py"}  # nothing is written beside it


@pytest.mark.parametrize("name", [name for name in NAMES if name != "torchrun"])
def test_a_script_of_an_example_runs_by_hand(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py", *SHORT.get(name, [])])
    monkeypatch.setattr(sys.modules["seqnorm.trial"], "_trial", None)
    runpy.run_path(str(EXAMPLES / name / "train.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert ("epoch 1: accuracy=" in printed) == (name == "pytorch")


@pytest.mark.parametrize("name", LINES)
def test_a_script_has_no_more_lines_for_seqnorm_than_are_promised_and_trains_without_them(name: str) -> None:
    script = (EXAMPLES / name / "train.py").read_text()
    assert len(ours(script)) == LINES[name]
    compile("\n".join(line for line in script.splitlines() if line not in ours(script)), name, "exec")


def test_every_example_is_listed_and_shows_its_outcome() -> None:
    listed = (EXAMPLES / "README.md").read_text()
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir()}
    assert folders == {*NAMES, "own_recipe"}
    assert [name for name in folders if f"[{name}]({name})" not in listed] == []
    for name in NAMES:
        outcome = outcome_in(EXAMPLES / name / "README.md")
        assert [part for part in ("Stage gm", "→", "chosen SeqNorm", " 0 failed") if part not in outcome] == [], name
    assert outcome_in(ROOT / "README.md") == outcome_in(EXAMPLES / "pytorch" / "README.md")
