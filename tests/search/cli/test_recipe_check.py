"""Trying a command out: what is printed, what is left, and what is refused before anything runs."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import pytest

from tests.search.cli.test_recipes import write
from tests.search.program import interrupt, run, seqnorm, seqnorm_json, start

SCRIPT = """
for epoch in $(seq {epochs}); do echo "epoch $epoch acc: 0.{gm}{gc}{seed}"; done
echo "epochs {epochs}, variables $PASSED$NOT_PASSED" >> {folder}/../../printed
"""


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let trials end fast, in temporary folders of the test's own."""
    monkeypatch.setattr("trainers.commands.run.LOOK_SECONDS", 0.02)
    monkeypatch.setattr("trainers.commands.run.POLL_SECONDS", 0.02)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


def describe(home: Path, script: str = SCRIPT, more: str = "") -> None:
    """Write the file of a recipe that runs a shell script."""
    (home / "recipes").mkdir(mode=0o755, exist_ok=True)
    write(home, "mine", f"command = ['sh', '-c', '''{script}''']\nmetric = 'acc'\n{more}")


def test_a_recipe_that_works_is_said_to_do_so_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSED", "one")
    monkeypatch.setenv("NOT_PASSED", "two")
    describe(tmp_path, more="batch = 64\nepochs = 90\nvariables = ['PASSED']")
    done = seqnorm(tmp_path, "recipes", "check", "mine", "--gm", "4", "--seed", "7")
    lines = done.stdout.splitlines()
    assert lines[0] == "ok       metric     acc is 0.417, from its output"
    assert lines[1] == "ok       reports    2 epochs can be followed"
    assert {line[:9] for line in lines} == {"ok       "}
    assert done.stderr.startswith("sets epochs=2\ntrains gm=4, gc=1, seed=7\n")
    assert set((tmp_path / "temporary" / "printed").read_text().splitlines()) == {"epochs 2, variables one"}
    assert [path.name for path in (tmp_path / "temporary").iterdir()] == ["printed"]


def test_what_does_not_work_is_an_exit_code_too_and_json_says_the_same(tmp_path: Path) -> None:
    describe(tmp_path, "echo no such layer; exit 3")
    done = seqnorm(tmp_path, "recipes", "check", "mine", expect=1)
    assert done.stdout.startswith("problem  metric     the program ended with exit code 3\n")
    assert f"\n{'':<20}no such layer\n" in done.stdout
    found = seqnorm_json(tmp_path, "recipes", "check", "mine", expect=1)
    assert (found["recipe"], found["passed"]) == ("mine", False)
    assert [each["name"] for each in found["checks"] if not each["passed"]] == ["metric"]


def test_a_script_is_checked_with_its_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    script = tmp_path / "work" / "train.sh"
    script.write_text("#!/bin/sh\necho acc: $1 $SEQNORM_GM\n")
    script.chmod(0o755)
    done = run("recipes", "check", "./train.sh", "--metric", "acc", "--home", str(tmp_path), "--", "0.25")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "ok       metric     acc is 0.25, from its output")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["digits-mlp"],
            "only a script, a command or the recipe of a file can be checked: got digits-mlp, which is installed.",
        ),
        (["mine", "--gm", "3"], "gm must divide the batch: got gm=3 for 64 samples."),
        (["mine", "--set", "lr=3"], "mine has no number lr: got lr=3."),
        (["nosuch"], "no recipe is named 'nosuch'. Known: "),
        ([], "a search needs a recipe or a script: got none and no file."),
        (["train.py", "--lr", "3"], " recipes check train.py -- --lr 3\n"),
    ],
)
def test_what_cannot_be_checked_is_refused_before_anything_runs(words: list[str], said: str, tmp_path: Path) -> None:
    describe(tmp_path, more="batch = 64\nepochs = 90")
    refused = seqnorm(tmp_path, "recipes", "check", *words, expect=2)
    assert said in refused.stderr
    assert list((tmp_path / "temporary").iterdir()) == []


def test_ctrl_c_ends_the_program_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    describe(tmp_path, "echo $$ > {folder}/../../pid; exec sleep 600")
    process = start(tmp_path, "recipes", "check", "mine")
    pid = tmp_path / "temporary" / "pid"
    while not pid.exists() or not pid.read_text():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    _, said = interrupt(process)
    assert (process.returncode, said.splitlines()[-1]) == (130, "Stopped; nothing is kept.")
    assert not Path("/proc", pid.read_text().strip()).exists()
    assert [path.name for path in (tmp_path / "temporary").iterdir()] == ["pid"]
