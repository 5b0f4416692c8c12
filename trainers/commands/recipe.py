"""Makes a recipe of a command."""

from __future__ import annotations

import dataclasses
from typing import Any

from trainers.commands.command import Command
from trainers.recipe import Recipe, number

RUN = "trainers.commands.run:run"


def make_recipe(name: str, command: Command, title: str = "") -> Recipe:
    """Return the recipe that runs a command; its numbers are those of the command, and may lack a batch."""
    fields = [
        (each.name, type(each.default), number(each.default, each.unit, each.at_least, each.at_most, each.choices))
        for each in command.numbers
    ]
    numbers: type[Any] = dataclasses.make_dataclass("CommandNumbers", fields, frozen=True, kw_only=True)
    return Recipe(
        name=name,
        title=title or " ".join(command.words),
        numbers=numbers,
        run=RUN,
        load="trainers.commands.run:load",
        widths=_unknown_widths,
        metric=command.metric,
        mode=command.mode,
        reports=(command.metric,),
        command=command,
        trains_unnormalized=False,
    )


def _unknown_widths(numbers: Any) -> None:
    """Return None: only the program knows its network."""
