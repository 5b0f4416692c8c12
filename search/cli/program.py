"""The program: its commands, and the options that every command takes."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from typing import Any

from typer.core import TyperCommand, TyperGroup

from search.vocabulary.errors import InvalidSpec
from trainers.near_misses import did_you_mean

SHARED = ("home", "db", "url", "json")  # options of the program that stand after a command as well
SHOW = "show"  # of the commands of `recipes`
MEANT = {  # by what other programs call it
    "delete": "gc-files",
    "ls": "list",
    "ps": "list",
    "rm": "gc-files",
    "run": "tune",
    "search": "tune",
    "status": "show",
    "stop": "pause",
    "kill": "cancel",
    "abort": "cancel",
    "start": "resume",
    "describe": "show",
    "get": "show",
    "tail": "logs",
    "follow": "watch",
}


class NamedCommands(TyperGroup):
    """Commands of which an unknown one is refused with those that are spelt alike."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the command that the first word names.

        Raises:
            InvalidSpec: if there is none.
        """
        name = args[0]
        if self.get_command(ctx, name) or ctx.resilient_parsing or name.startswith("-"):
            return super().resolve_command(ctx, args)
        hint = did_you_mean(MEANT.get(name, name), self.commands)
        raise InvalidSpec(f"no command is named {name!r}.{hint} List them with: {ctx.command_path} --help")


class RecipeCommands(NamedCommands):
    """The commands of ``recipes``. A word that is none of them is the name of a recipe, to be shown."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the command that the first word names, or that shows the recipe of this name."""
        names_one = self.get_command(ctx, args[0]) is not None
        return super().resolve_command(ctx, args if names_one else [SHOW, *args])

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Complete names of recipes as well as commands."""
        show = self.get_command(ctx, SHOW)
        names = show.params[0].shell_complete(ctx, incomplete) if show and not incomplete.startswith("-") else []
        return [*super().shell_complete(ctx, incomplete), *names]


class Program(NamedCommands):
    """All commands. The options in ``SHARED`` may stand before and after the name of a command; the later counts."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        shared = [copy(option) for option in self.params if option.name in SHARED]
        for option in shared:
            option.expose_value = False  # their callbacks keep the values
            option.rich_help_panel = "Options of every command"  # type: ignore[attr-defined]
        for command in _all_below(self):
            own = [option for option in shared if isinstance(command, TyperGroup) or option.name != "json"]
            command.params = [*command.params, *own]  # commands that print JSON have an option of their own


def takes_json(program: Any, name: str) -> bool:
    """Return whether a command, or a command of a group, prints JSON."""
    command = program.commands[name]
    return any(option.name == "json" for each in (command, *_all_below(command)) for option in each.params)


def _all_below(group: Any) -> Iterator[TyperCommand]:
    """Yield every command and group of a group; a command has none."""
    for each in getattr(group, "commands", {}).values():
        yield each
        yield from _all_below(each)
