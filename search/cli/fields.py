"""The fields of a search, from a file and from what the command line says beside it, which overrides the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from search.cli.spec_file import read_file
from search.vocabulary.errors import InvalidSpec
from trainers.assignments import read_assignments
from trainers.near_misses import did_you_mean
from trainers.recipe import RecipeError, find

FILE_SUFFIXES = (".yaml", ".yml", ".json")


def gather_fields(
    flags: dict[str, Any],
    *,
    recipe: str | None,
    file: Path | None,
    data: str | None,
    preset: str | None,
    assignments: list[str],
    local: bool,
) -> dict[str, object]:
    """Return the fields that a command line gives.

    Args:
        flags: the fields that were given as flags.
        assignments: of the recipe's numbers, ``NAME=VALUE``; they override the preset, and both the file.
        local: whether data sets are paths on this machine; a service knows them by name.

    Raises:
        InvalidSpec: if there is no recipe, or something cannot be read.
    """
    if recipe and file is None and recipe.endswith(FILE_SUFFIXES):
        raise InvalidSpec(f"RECIPE must be the name of a recipe: got {recipe}. Give a file with -f {recipe}.")
    fields: dict[str, Any] = read_file(file) if file else {}
    fields |= flags | ({"recipe": recipe} if recipe else {}) | ({"data": data} if data else {})
    if "recipe" not in fields:
        where = f"in {file}" if file else "and no file"
        raise InvalidSpec(f"a search needs a recipe: got none {where}. Give RECIPE --gm 1,2 --gc 1,2, or -f FILE.")
    given = {**preset_numbers(str(fields["recipe"]), preset), **parse_assignments(assignments)}
    if given:
        numbers = fields.get("numbers") or {}
        fields["numbers"] = {**numbers, **given} if isinstance(numbers, dict) else numbers
    if local and isinstance(fields.get("data"), str):
        fields["data"] = str(Path(fields["data"]).absolute())  # the worker is in another folder
    return fields


def preset_numbers(name: str, preset: str | None) -> dict[str, object]:
    """Return the numbers of a recipe's preset.

    Raises:
        InvalidSpec: if there is no such recipe or preset.
    """
    if preset is None:
        return {}
    try:
        presets = find(name).presets
    except RecipeError as error:
        raise InvalidSpec(str(error)) from None
    if preset not in presets:
        known = f"Known: {', '.join(presets) or 'none'}.{did_you_mean(preset, presets)}"
        raise InvalidSpec(f"{name} has no preset {preset}: got --preset {preset}. {known}")
    return dict(presets[preset])


def parse_assignments(pairs: list[str]) -> dict[str, str]:
    """Read ``NAME=VALUE`` pairs.

    Raises:
        InvalidSpec: if a pair is malformed, or a name is given twice.
    """
    try:
        return read_assignments(pairs)
    except RecipeError as error:
        raise InvalidSpec(str(error)) from None
