"""A command as a file for the operator of a service."""

from __future__ import annotations

import shlex
import tomllib

from search.cli.recipe_text import write_recipe
from trainers.commands.command import Command, CommandNumber

NUMBERS = (CommandNumber(name="batch", default=64), CommandNumber(name="lr", default=0.1))


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
