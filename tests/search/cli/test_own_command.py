"""Commands made of a script with its arguments, or of the words after ``--``."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import pytest

from search.cli.own_command import Program, find_program, find_warnings, make_command, read_value
from search.vocabulary.errors import InvalidSpec
from trainers.commands.command import Command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with scripts, in which commands are typed."""
    for name in ("train.py", "run.sh", "fit"):
        (tmp_path / name).write_text("#!/bin/sh\n")
    (tmp_path / "fit").chmod(0o755)
    (tmp_path / "link.py").symlink_to("train.py")
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return tmp_path


def found(recipe: str | None, words: tuple[str, ...] | None, folder: Path) -> Program:
    program = find_program(recipe, words, folder)
    assert program is not None
    return program


def made(folder: Path, *words: str, numbers: dict[str, Any] | None = None, **flags: Any) -> Command:
    return make_command(found(None, ("true", *words), folder), folder, flags, numbers or {})[0]


def test_a_python_script_runs_with_this_interpreter_from_its_absolute_path(folder: Path) -> None:
    script = str(folder / "train.py")
    assert found("train.py", ("--lr", "{lr}"), folder) == Program(
        "train.py", (sys.executable, script, "--lr", "{lr}"), (script,)
    )
    assert found("../" + folder.name + "/train.py", None, folder).words == (sys.executable, script)
    assert found("link.py", None, folder).words[1] == str(folder / "link.py"), "where it finds its modules by hand"


def test_another_script_runs_itself(folder: Path) -> None:
    assert found("./fit", None, folder) == Program("fit", (str(folder / "fit"),), (str(folder / "fit"),))


def test_of_a_command_the_first_word_is_resolved_and_the_others_stay(folder: Path) -> None:
    program = found(None, ("sh", "run.sh", "--", "~", "$HOME", "{folder}"), folder)
    assert program == Program(
        "run.sh", ("/usr/bin/sh", "run.sh", "--", "~", "$HOME", "{folder}"), (str(folder / "run.sh"),)
    )
    assert found(None, ("./fit",), folder).words == (str(folder / "fit"),)
    assert found(None, ("true",), folder).name == "true"


def test_braces_in_the_path_of_a_script_are_no_placeholders(folder: Path) -> None:
    (folder / "{gm}").mkdir()
    (folder / "{gm}/train.py").touch()
    program = found("{gm}/train.py", None, folder)
    assert (program.words[1], program.files) == (f"{folder}/{{{{gm}}}}/train.py", (f"{folder}/{{gm}}/train.py",))


def test_names_of_recipes_are_no_programs(folder: Path) -> None:
    assert find_program("digits-mlp", None, folder) is None
    assert find_program("digits-mlp", (), folder) is None
    assert find_program("nosuch", None, folder) is None
    assert find_program(None, None, folder) is None


@pytest.mark.parametrize(
    ("recipe", "words", "said"),
    [
        (
            "trian.py",
            (),
            "RECIPE must be the name of a recipe, or a script: got trian.py, which does not exist. "
            "Did you mean train.py?",
        ),
        (
            "digits.mlp",
            (),
            "RECIPE must be the name of a recipe, or a script: got digits.mlp, which does not exist. "
            "Did you mean digits-mlp?",
        ),
        (
            "data/",
            (),
            "RECIPE must be the name of a recipe, or a script: got data/, which is a folder. Correct its name.",
        ),
        (
            "run.sh",
            ("a b",),
            "a script must end with .py or be executable: got run.sh, which is neither. "
            "Make it executable with: chmod +x run.sh, or name what runs it: -- bash run.sh 'a b'",
        ),
        ("sh", ("run.sh",), "a command must stand after -- as a whole: got sh before it. Give: -- sh run.sh"),
        (
            None,
            (),
            "a command must stand after --: got nothing. "
            "Give what you would type, e.g. -- python train.py --gm {gm} --gc {gc} --seed {seed}",
        ),
        (
            None,
            ("train.py", "{gm}"),
            "a command must begin with a program: got 'train.py', which is not executable. "
            "Name what runs it: -- python train.py '{gm}'",
        ),
        (
            None,
            ("A=1", "sh"),
            "a command must begin with a program: got 'A=1', which sets a variable. Give: -- env A=1 sh",
        ),
        (
            None,
            ("sh run.sh && sh run.sh",),
            "a command must begin with a program: got 'sh run.sh && sh run.sh', which is one word. Leave out the "
            "quotes around it; a line for a shell is: -- bash -c 'sh run.sh && sh run.sh'",
        ),
        (
            "a b.ipynb",
            (),
            "a training must be a script: got the notebook a b.ipynb. Make it one with: "
            "jupyter nbconvert --to script 'a b.ipynb', and give 'a b.py'.",
        ),
        (
            None,
            ("python3", "-u", "nb.ipynb", "{gm}"),
            "a training must be a script: got the notebook nb.ipynb. Make it one with: "
            "jupyter nbconvert --to script nb.ipynb, and give nb.py.",
        ),
        (
            None,
            ("./absent",),
            "a command must begin with a program: got './absent', which does not exist. Correct its name.",
        ),
    ],
)
def test_what_cannot_be_run_is_refused_with_what_can(
    folder: Path, recipe: str | None, words: tuple[str, ...], said: str
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        find_program(recipe, words, folder)
    assert str(caught.value) == said


def test_a_program_that_is_not_on_path_is_compared_with_those_that_are(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{folder}:{folder / 'absent'}")
    for word, hint in (("fitt", "Did you mean fit?"), ("python", f"Did you mean {sys.executable}?")):
        with pytest.raises(
            InvalidSpec, match=r"which is not on PATH\. Give its path, or correct its name\. (.*)$"
        ) as e:
            find_program(None, (word,), folder)
        assert str(e.value).endswith(hint)


def test_flags_describe_the_command(folder: Path) -> None:
    command = made(
        folder,
        "{split}",
        metric="val_loss",
        mode="min",
        metric_file="{folder}/log.csv",
        test_metric="test_loss",
        code=["train.py", "run.sh", "train.py"],
        env=["HOME", "HOME"],
        batch=64,
    )
    assert (command.metric, command.mode, command.test_metric) == ("val_loss", "min", "test_loss")
    assert command.metric_file == "{folder}/log.csv"
    assert command.files == (str(folder / "train.py"), str(folder / "run.sh"))
    assert command.variables == ("HOME",)
    numbers = {each.name: each.default for each in command.numbers}
    assert numbers == {"batch": 64, "devices": 1, "min_group": 4}, "what gm is checked with"


def test_a_command_reads_the_split_if_a_file_of_it_does(folder: Path) -> None:
    (folder / "model.py").write_text("import seqnorm\nrun = seqnorm.trial()\nprint(run.split)")
    assert not made(folder).measures_test
    assert made(folder, code=["model.py"]).reads_split


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-3", -3),
        ("0.10", 0.1),
        ("1e-4", 1e-4),
        (".5", 0.5),
        ("true", True),
        ("false", False),
        ("True", "True"),
        ("007", "007"),
        ("3000000000", "3000000000"),
        ("1_000", "1_000"),
        ("nan", "nan"),
        ("1e999", "1e999"),
        ("cosine", "cosine"),
        ("", ""),
    ],
)
def test_a_number_is_one_if_the_command_gets_it_back_as_one(text: str, value: object) -> None:
    assert repr(read_value(text)) == repr(value)


@pytest.mark.parametrize(
    ("numbers", "flags", "said"),
    [
        (
            {},
            {"metric": "val_loss"},
            "--mode must say whether val_loss is better high or low: got --metric val_loss alone. "
            "Give --metric val_loss --mode min, or --metric val_loss --mode max.",
        ),
        ({}, {"mode": "up"}, "--mode must be max or min: got 'up'. Leave it out for max."),
        ({}, {"pattern": ""}, "--pattern must not be empty: got ''. Leave it out."),
        (
            {},
            {"metric": "acc", "test_metric": "acc"},
            "--test-metric must be another figure than --metric: got acc for both. Leave out --test-metric.",
        ),
        (
            {"lr": 0.1},
            {},
            "a number of a command must stand in it as {lr}: got lr=0.1, which nothing uses. "
            "Add it to the command, or give it there as it is.",
        ),
        (
            {"batch": 1},
            {"batch": 2},
            "batch must be given once: got --batch and a number as well. Leave one.",
        ),
        (
            {"epochs": 1.5},
            {},
            "epochs must be a whole number from 1 to 100000 (passes over the training split): got 1.5. "
            "Give e.g. --set epochs=8.",
        ),
        (
            {},
            {"batch": 0},
            "batch must be a whole number from 1 to 1048576 (samples per step, over all devices): got 0. "
            "Give e.g. --set batch=8.",
        ),
        ({"devices": 8}, {}, "devices needs the batch that gm splits: got devices=8. Give --batch N too."),
        ({}, {"code": ["trai.py"]}, "--code must be a file: got trai.py, which is not there. Did you mean train.py?"),
        (
            {},
            {"code": ["data"]},
            "--code must be a file: got data, which is a folder: name its files. Correct its name.",
        ),
        (
            {},
            {"env": ["A=1"]},
            "--env must be the name of a variable: got 'A=1'. "
            "Give the name alone; its value is the one where the worker runs.",
        ),
        (
            {},
            {"env": ["SEQNORM_DB"]},
            "--env must not name a variable of seqnorm: got SEQNORM_DB. The program gets its own anyway.",
        ),
    ],
)
def test_what_does_not_fit_is_refused(folder: Path, numbers: dict[str, Any], flags: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        made(folder, numbers=numbers, **flags)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    "metric", ["loss", "val_loss", "BCELoss", "test.error", "perplexity", "rmse", "val-mae", "WER"]
)
def test_the_direction_of_a_metric_that_is_probably_better_low_must_be_said(folder: Path, metric: str) -> None:
    with pytest.raises(InvalidSpec, match=r"^--mode must say whether "):
        made(folder, metric=metric)
    assert made(folder, metric=metric, mode="max").mode == "max"


@pytest.mark.parametrize("metric", ["accuracy", "val_acc", "image_score", "answer", "f1", "mAP", "ferret"])
def test_other_metrics_are_better_high(folder: Path, metric: str) -> None:
    assert made(folder, metric=metric).mode == "max"


def test_words_that_are_no_text_are_refused_as_nothing_could_show_them(folder: Path) -> None:
    with pytest.raises(InvalidSpec, match=r"^a command must be UTF-8 text: got x\\udcff\. Rename"):
        made(folder, "x\udcff")


@pytest.mark.parametrize("path", ["out.csv", "out-{seed}.csv", "{gm}-{gc}.csv"])
def test_a_file_that_several_trials_write_is_warned_about(folder: Path, path: str) -> None:
    one = find_warnings(made(folder, *["{gm}", "{gc}", "{seed}"], metric_file=path))
    assert len(one) == 1
    assert one[0].startswith(f"Several trials read the metric from one file, {path}: have each write its own")


@pytest.mark.parametrize("path", ["{folder}/out.csv", "{gm}-{gc}-{seed}.csv"])
def test_a_file_of_each_trial_is_not_warned_about(folder: Path, path: str) -> None:
    assert find_warnings(made(folder, *["{gm}", "{gc}", "{seed}"], metric_file=path)) == []


def test_what_a_program_does_not_get_is_said_unless_it_may_ask_for_it(folder: Path) -> None:
    assert "Nothing passes {gc} and {seed} on" in find_warnings(made(folder, "{gm}"))[0]
    assert find_warnings(made(folder, "{gm}", "{gc}", "{seed}")) == []
    assert find_warnings(made(folder, "$SEQNORM_GM")) == []
    with contextlib.chdir(folder):
        [said] = find_warnings(made(folder, "train.py"))
    assert said.endswith("or read seqnorm.trial() in the script: seqnorm init train.py prints the lines.")
    (folder / "train.py").write_text("from seqnorm import trial")
    assert find_warnings(made(folder, "train.py")) == []
