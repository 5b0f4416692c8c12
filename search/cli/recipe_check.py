"""``recipes check``: short trials of a command, here and now, that show what works."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.text import Text

from search.cli.exit_codes import EXIT_FAILED, EXIT_OK
from search.cli.fields import Request
from search.cli.interruption import Interruption
from search.cli.output import TextConsole, print_json, print_stderr
from search.engine.trial_environment import reduce_environment
from search.plan.grouping import gm_check
from search.plan.recipes import find_recipe
from search.plan.spec import refusing_specs
from search.settings import Settings
from search.vocabulary.errors import InvalidSpec
from trainers.commands import placeholders
from trainers.commands.check import Check, try_out
from trainers.commands.command import Command
from trainers.recipe import Recipe

SHORT = 2  # epochs, where the command takes their number


@dataclass(frozen=True, kw_only=True)
class Point:
    """What is trained."""

    gm: int
    gc: int
    seed: int


def check(settings: Settings, request: Request, point: Point, json: bool) -> int:
    """Try a command out with the environment of trials, and print what works; return 1 if something does not.

    Raises:
        InvalidSpec: if it is no command, or has no such numbers.
    """
    name, numbers = str(request.fields["recipe"]), dict(request.fields.get("numbers") or {})
    with refusing_specs():
        recipe = find_recipe(name, settings.home, request.command)
        command = _require_command(recipe)
        numbers = _shorten(recipe, command, numbers)
        reason = gm_check(recipe.with_overrides(numbers))(point.gm)
    if reason:
        raise InvalidSpec(reason)
    reduce_environment(*settings.trial_variables, *command.variables)
    with Interruption(at_once=True) as interruption, TemporaryDirectory(prefix="seqnorm-check-") as folder:
        try:
            found = try_out(recipe, point.gm, point.gc, point.seed, Path(folder), numbers, print_stderr)
        except KeyboardInterrupt:
            print_stderr("Stopped; nothing is kept.")
            return interruption.exit_code
    if json:
        print_json({"recipe": name, "passed": found.passed, "checks": [vars(each) for each in found.checks]})
    else:
        _print_checks(found.checks)
    return EXIT_OK if found.passed else EXIT_FAILED


def _require_command(recipe: Recipe) -> Command:
    if recipe.command is None:
        raise InvalidSpec(
            f"only a script, a command or the recipe of a file can be checked: got {recipe.name}, which is installed. "
            f"Train it once with: python -m trainers {recipe.name}"
        )
    return recipe.command


def _shorten(recipe: Recipe, command: Command, numbers: dict[str, Any]) -> dict[str, Any]:
    """Return numbers with few epochs, where the command takes their number and nobody gave one."""
    epochs = getattr(recipe.numbers(), "epochs", 0)
    if "epochs" in numbers or epochs <= SHORT or not placeholders.is_used("epochs", command.words):
        return numbers
    print_stderr(f"sets epochs={SHORT}")
    return {**numbers, "epochs": SHORT}


def _print_checks(checks: tuple[Check, ...]) -> None:
    console = TextConsole()
    for each in checks:
        verdict = ("ok     ", "green") if each.passed else ("problem", "red")
        sentence = each.sentence.rstrip().replace("\n", f"\n{'':<20}")  # last lines of a program, below their sentence
        console.print(Text.assemble(verdict, f"  {each.name:<9}  {sentence}"), soft_wrap=True)
