"""A command as a file for the operator of a service."""

from __future__ import annotations

import shlex
import tomllib
from dataclasses import replace
from pathlib import Path

from search.cli.recipe_text import write_recipe
from trainers.commands.command import Command, CommandNumber
from trainers.commands.files import find_file
from trainers.recipe import find

NUMBERS = (CommandNumber(name="batch", default=64), CommandNumber(name="lr", default=0.1))


def test_the_file_is_a_recipe_that_runs_the_same(tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir(mode=0o755)
    script = tmp_path / "train.py"
    script.touch()
    words = ("/bin/sh", "train.py", "{lr}", "{optimizer}", "a | b", "|", "{batch}")
    numbers = (*NUMBERS, CommandNumber(name="optimizer", default="sgd", choices=("sgd",)))
    command = Command(
        words=words, folder=str(tmp_path), metric="loss", mode="min", files=(str(script),), numbers=numbers
    )
    find_file(tmp_path, "mine").write_text(write_recipe(command))
    read = find("mine", tmp_path).command
    assert read
    assert replace(read, numbers=()) == replace(command, numbers=())
    described = [(number.name, number.default, number.choices) for number in read.numbers]
    assert described == [
        ("batch", 64, ()),
        ("devices", 1, ()),
        ("min_group", 4, ()),
        ("lr", 0.1, ()),
        ("optimizer", "sgd", ("sgd",)),
    ]


def test_it_reads_back_as_what_was_typed() -> None:
    words = ("/usr/bin/python", 'a "b" \\', "é\n\t\x7f", "{gm}", "{lr}")
    command = Command(words=words, folder="/srv/it's", metric="loss", mode="min", pattern=r"\s(\d+)", numbers=NUMBERS)
    read = tomllib.loads(write_recipe(command))
    assert tuple(shlex.split(read.pop("command"))) == words
    assert read == {
        "folder": "/srv/it's",
        "metric": "loss",
        "mode": "min",
        "pattern": r"\s(\d+)",
        "batch": 64,
        "numbers": {"lr": {"default": 0.1}},
    }
