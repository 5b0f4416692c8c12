"""``init``: what it prints, and how it writes. What it finds is in tests/trainers/commands/test_analysis.py."""

from __future__ import annotations

import json
import stat
import subprocess
from pathlib import Path

import pytest

from search.cli import init as module
from search.cli.init import init_script
from search.vocabulary.errors import InvalidSpec

SCRIPT = """\
import torch
model = torch.nn.BatchNorm1d(4)
for epoch in range(3):
    val_loss = validate(model)
"""
TUNED = """\
import torch
import seqnorm
trial = seqnorm.trial()
model = torch.nn.BatchNorm1d(4)
seqnorm.convert(model, trial.norm)
for epoch in range(3):
    val_loss = validate(model)
    trial.report(epoch=epoch, loss=val_loss)
"""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("train.py").write_text(SCRIPT)
    return Path("train.py")


def write(script: Path) -> None:
    init_script(script, write=True, json=False, program="seqnorm")


def test_the_lines_are_printed_and_the_script_stays(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init_script(script, write=False, json=False, program="seqnorm --home h")
    printed = capsys.readouterr()
    assert printed.out == (
        "--- train.py\n+++ train.py\n@@ -1,4 +1,8 @@\n import torch\n+import seqnorm\n+trial = seqnorm.trial()\n"
        " model = torch.nn.BatchNorm1d(4)\n+seqnorm.convert(model, trial.norm)\n for epoch in range(3):\n"
        "     val_loss = validate(model)\n+    trial.report(epoch=epoch, loss=val_loss)\n"
    )
    assert printed.err.splitlines() == [
        "line 2: import seqnorm  (the layers and the trial)",
        "line 2: trial = seqnorm.trial()  (the point and the seed: of the search, or by hand gm=1 and seed 0)",
        "line 3: seqnorm.convert(model, trial.norm)  "
        "(this point's norm for every BatchNorm, before DDP and torch.compile)",
        "line 5: trial.report(epoch=epoch, loss=val_loss)  (the figure of this epoch; the last one is compared)",
        "convert swaps torch.nn.BatchNorm1d(4) (line 2)",
        "note: nothing sets a seed: torch.manual_seed(trial.seed) makes a trial repeatable.",
        "Nothing was changed; write these lines with --write.",
        "Tune it with: seqnorm --home h tune train.py --gm 1,2,4 --gc 1,2 --metric loss --mode min",
    ]
    assert script.read_text() == SCRIPT


def test_as_json_it_is_one_object(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init_script(script, write=True, json=True, program="seqnorm")
    found = json.loads(capsys.readouterr().out)
    assert [*found] == [
        *("script", "changes", "norms", "notes", "tuned", "reported", "seed_flag", "diff", "written", "backup")
    ]
    assert found["changes"][0] == {"line": 2, "text": "import seqnorm", "reason": "the layers and the trial"}
    assert found["norms"] == [{"line": 2, "text": "torch.nn.BatchNorm1d(4)", "swapped": True}]
    assert found["reported"] == {"metric": "loss", "mode": "min"}
    assert (found["tuned"], found["written"], found["backup"]) == (False, True, str(script.absolute()) + ".orig")


def test_what_is_written_keeps_the_script_its_mode_and_a_link_to_it(
    script: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script.chmod(0o750)
    link = Path("link.py")
    link.symlink_to(script)
    write(link)
    assert (script.read_text(), Path("train.py.orig").read_text()) == (TUNED, SCRIPT)
    assert stat.S_IMODE(script.stat().st_mode) == 0o750
    assert link.is_symlink()
    assert sorted(path.name for path in Path().iterdir()) == ["link.py", "train.py", "train.py.orig"]
    assert f"link.py was changed; {script.absolute()}.orig is as it was.\n" in capsys.readouterr().err


def git(*words: str) -> None:
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True, capture_output=True)


def test_a_script_that_git_has_is_written_without_a_copy(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git("init")
    write(script)
    assert Path("train.py.orig").exists(), "git does not have it yet"
    Path("train.py.orig").unlink()
    script.write_text(SCRIPT)
    git("add", "train.py")
    git("commit", "-m", "a script")
    write(script)
    assert not Path("train.py.orig").exists()
    assert "train.py was changed; git has it as it was.\n" in capsys.readouterr().err
    script.write_text(SCRIPT + "\n")
    write(script)
    assert Path("train.py.orig").read_text() == SCRIPT + "\n", "git has another"


def test_without_git_a_copy_is_kept(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    write(script)
    assert Path("train.py.orig").read_text() == SCRIPT


def test_a_script_that_has_all_of_it_is_left_alone(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script.write_text(TUNED)
    write(script)
    printed = capsys.readouterr()
    assert (printed.out, script.read_text(), Path("train.py.orig").exists()) == ("", TUNED, False)
    assert printed.err.startswith("train.py has all of it: nothing is to be added.\n")
    assert printed.err.endswith("tune train.py --gm 1,2,4 --gc 1,2 --metric loss --mode min\n")


def test_a_script_in_which_nothing_is_found_is_told_what_to_write(
    script: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script.write_text("print('hello')\n")
    write(script)
    said = capsys.readouterr().err
    assert said.startswith("train.py got no line: see below.\nnote: no line was found that makes the model:")
    assert "Tune it" not in said


def test_a_seed_of_its_own_flag_and_a_name_with_spaces_are_in_the_next_command(
    script: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = script.rename("my train.py")
    named.write_text(f"import argparse\nparser.add_argument('--seed')\n{SCRIPT.replace('val_loss', 'accuracy')}")
    init_script(named, write=False, json=False, program="seqnorm")
    assert capsys.readouterr().err.endswith("seqnorm tune 'my train.py' --gm 1,2,4 --gc 1,2 -- --seed {seed}\n")


def test_characters_in_the_encoding_of_the_script_stay(script: Path) -> None:
    script.write_bytes(f"# -*- coding: latin-1 -*-\n# größer\n{SCRIPT}".encode("latin-1"))
    write(script)
    assert script.read_bytes().startswith(b"# -*- coding: latin-1 -*-\n# gr\xf6\xdfer\nimport torch\nimport seqnorm\n")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("no.py", None, r"^a script must be a file that can be read: got no\.py \(No such file or directory\)"),
        (".", None, r"^init reads one script: got the folder \.\. Name a file in it, e\.g\. train\.py\.$"),
        (
            "a.ipynb",
            b"{}",
            r"^init reads Python scripts: got the notebook a\.ipynb\. Save it as one, e\.g\. with jupyter",
        ),
        ("a.sh", b"ls", r"^init reads Python scripts: got a\.sh\. Tune any other program as a command"),
        ("a.py", b"x = \n", r"^a script must be Python that compiles: got invalid syntax in line 1 of a\.py\. Correct"),
        ("a.py", b"\xff\xfe\x00", r"^a script must be text in its encoding: got a\.py \("),
        ("a.py", b"# coding: none\n", r"^a script must be text in its encoding: got a\.py \(unknown encoding"),
        ("a", b"\x7fELF\x00", r"^a script must be Python that compiles: got .* of a\."),
    ],
)
def test_what_is_no_script_is_refused(script: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        Path(name).write_bytes(content)
    with pytest.raises(InvalidSpec, match=message):
        write(Path(name))


def test_a_script_is_not_read_without_end(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 8)
    with pytest.raises(InvalidSpec, match=r"^a script has at most 0 MiB: got more in train\.py\."):
        write(script)


def test_what_would_be_overwritten_and_what_cannot_be_written_stays(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("train.py.orig").write_text("of before")
    with pytest.raises(InvalidSpec, match=r"^--write keeps the script as .*train\.py\.orig: got a file of that name\."):
        write(script)
    Path("train.py.orig").unlink()
    monkeypatch.setattr(module.os, "access", lambda *_: False)
    with pytest.raises(
        InvalidSpec, match=r"^--write needs a script that can be changed: got train\.py \(it is read-only"
    ):
        write(script)
    assert (script.read_text(), [*Path().iterdir()]) == (SCRIPT, [script])
