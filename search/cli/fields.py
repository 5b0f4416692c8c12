"""The search that a command line describes: its fields, from a file and from flags, which override it; its program."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.cli.flags import SearchArguments
from search.cli.further_axes import read_axes, read_values, with_first_values
from search.cli.output import print_stderr
from search.cli.own_command import (
    Program,
    find_program,
    find_warnings,
    make_command,
    read_value,
    refuse_flags,
    suggest_script,
)
from search.cli.spec_file import read_file
from search.cli.stray_words import names_script
from search.settings import Settings
from search.vocabulary.errors import InvalidSpec
from trainers.assignments import read_assignments
from trainers.commands.command import Command
from trainers.near_misses import did_you_mean
from trainers.recipe import RecipeError, find, names

FILE_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True)
class Request:
    """A search as a person asked for it."""

    fields: dict[str, Any]
    command: Command | None = None  #: what it runs, if it names no recipe


def make_request(given: SearchArguments, settings: Settings) -> Request:
    """Return the search that a command line describes.

    Raises:
        InvalidSpec: if it names neither a recipe nor a program, or something cannot be read.
    """
    recipe, file = given.recipe, given.file
    if recipe and file is None and recipe.endswith(FILE_SUFFIXES):
        raise InvalidSpec(f"RECIPE must be the name of a recipe: got {recipe}. Give a file with -f {recipe}.")
    folder = Path.cwd()
    program = find_program(recipe, given.words, folder)
    fields: dict[str, Any] = read_file(file) if file else {}
    fields |= given.fields | ({"recipe": recipe} if recipe else {}) | ({"data": given.data} if given.data else {})
    _set_mapping(fields, "vary", read_axes(given.vary or []))
    if program:
        return _request_program(given, fields, program, folder)
    _check_recipe(given, fields, folder, settings)
    assignments = [*(given.set_ or []), *([f"model={given.model}"] if given.model else [])]
    numbers = {**preset_numbers(str(fields["recipe"]), given.preset, settings.home), **parse_assignments(assignments)}
    _set_mapping(fields, "numbers", numbers)
    of_test = preset_numbers(str(fields["recipe"]), given.test_preset, settings.home, "--test-preset")
    _set_mapping(fields, "test_numbers", {**of_test, **parse_assignments(given.test_set or [], "--test-set")})
    if not settings.url and isinstance(fields.get("data"), str):
        fields["data"] = str(Path(fields["data"]).absolute())  # the worker is in another folder
    return Request(fields)


def _request_program(given: SearchArguments, fields: dict[str, Any], program: Program, folder: Path) -> Request:
    """Return the search of a script or command.

    Raises:
        InvalidSpec: if it cannot be run as it is described.
    """
    for name in ("preset", "test_preset", "model", "data"):
        if value := getattr(given, name):
            flag = f"--{name.replace('_', '-')}"
            raise InvalidSpec(
                f"{flag} is for recipes: got {flag} {value} for {program.name}. "
                "Give what the program takes itself after --."
            )
    for field, flag, pairs in (("numbers", "--set", given.set_), ("test_numbers", "--test-set", given.test_set)):
        typed = {name: read_value(text) for name, text in parse_assignments(pairs or [], flag).items()}
        _set_mapping(fields, field, typed)
    numbers, vary = fields.get("numbers", {}), fields.get("vary") or {}
    known = isinstance(numbers, dict) and all(isinstance(value, int | float | str) for value in numbers.values())
    known = known and isinstance(vary, dict) and all(isinstance(values, list) for values in vary.values())
    if known and vary:
        fields["vary"] = vary = {name: read_values(values) for name, values in vary.items()}
    variants = fields.get("variants")
    for overrides in variants.values() if known and isinstance(variants, dict) else ():
        _require_known("variants", overrides, numbers)
    declared = with_first_values(numbers, vary) if known else {}
    if known:
        _require_known("test_numbers", fields.get("test_numbers"), {**given.program, **declared})
    command, values = make_command(program, folder, given.program, declared)
    values = {name: value for name, value in values.items() if name not in vary or name in numbers}
    for warning in find_warnings(command):
        print_stderr(f"Warning: {warning}")
    return Request({**fields, "recipe": program.name, **({"numbers": values} if known else {})}, command)


def _set_mapping(fields: dict[str, Any], name: str, given: dict[str, Any]) -> None:
    """Let entries of a field override those of a file. What is no mapping is left for the spec to refuse."""
    before = fields.get(name) or {}
    if given:
        fields[name] = {**before, **given} if isinstance(before, dict) else before


def _require_known(where: str, overrides: object, numbers: dict[str, Any]) -> None:
    """Check that overrides are of numbers that a command has. What is no mapping is left for the spec to refuse.

    Raises:
        InvalidSpec: naming one that it has not.
    """
    if isinstance(overrides, dict) and (unknown := sorted(map(str, overrides.keys() - numbers.keys()))):
        raise InvalidSpec(
            f"{where} of a command must override numbers that it has: got {unknown[0]} in {where} alone. "
            f"Give --set {unknown[0]}=VALUE too, and write {{{unknown[0]}}} where the command takes it."
        )


def _check_recipe(given: SearchArguments, fields: dict[str, Any], folder: Path, settings: Settings) -> None:
    """Check that there is a recipe, as far as it can be told without its numbers.

    Raises:
        InvalidSpec: if there is none, or the file names a script.
    """
    if "recipe" not in fields:
        where = f"in {given.file}" if given.file else "and no file"
        raise InvalidSpec(
            f"a search needs a recipe or a script: got none {where}. Give RECIPE --gm 1,2 --gc 1,2, or -f FILE."
        )
    recipe = str(fields["recipe"])
    refuse_flags(given.program, recipe)
    if given.recipe is None and names_script(recipe):
        raise InvalidSpec(
            f"a file must name a recipe, never a program: got recipe: {recipe} in {given.file}. "
            f"Name the script beside it: {recipe} -f {given.file}"
        )
    if not settings.url and recipe not in names(settings.home) and (hint := suggest_script(recipe, folder)):
        raise InvalidSpec(f"no recipe is named {recipe!r}.{hint}")


def preset_numbers(
    name: str, preset: str | None, home: Path | None = None, flag: str = "--preset"
) -> dict[str, object]:
    """Return the numbers of a recipe's preset.

    Raises:
        InvalidSpec: if there is no such recipe or preset.
    """
    if preset is None:
        return {}
    try:
        presets = find(name, home).presets
    except RecipeError as error:
        raise InvalidSpec(str(error)) from None
    if preset not in presets:
        known = f"Known: {', '.join(presets) or 'none'}.{did_you_mean(preset, presets)}"
        raise InvalidSpec(f"{name} has no preset {preset}: got {flag} {preset}. {known}")
    return dict(presets[preset])


def parse_assignments(pairs: list[str], flag: str = "--set") -> dict[str, str]:
    """Read ``NAME=VALUE`` pairs.

    Raises:
        InvalidSpec: if a pair is malformed, or a name is given twice.
    """
    try:
        return read_assignments(pairs, flag)
    except RecipeError as error:
        raise InvalidSpec(str(error)) from None
