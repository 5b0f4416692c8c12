"""Reads the numbers and presets of a recipe's file.

Clients of a service give a number, true or false, or one of the choices, and bring no words of their own into a
command: a free text could be an option of the program, or a line of a shell.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from trainers.commands import placeholders
from trainers.commands.command import CommandNumber
from trainers.commands.files import RecipeFileError
from trainers.commands.toml_table import LIMIT, SCALAR, TEXTS, WHOLE, Table
from trainers.recipe import MAX_INT, Numbers, Recipe, RecipeError

STANDARD = {"batch": "256", "devices": "8", "min_group": "4", "epochs": "90"}  # fields of their own, with examples
NUMBER = {
    "default": (SCALAR, "0.1"),
    "unit": ((str,), '"per step"'),
    "at_least": (LIMIT, "0"),
    "at_most": (LIMIT, "1"),
    "choices": (TEXTS, '["cosine", "step"]'),
}
MAX_NUMBERS = 64
MAX_CHOICE = 200  # characters


def read_standard(table: Table, filled_in: tuple[str, ...]) -> list[CommandNumber]:
    """Return batch, devices, min_group and epochs, if given. What the command is not told cannot be overridden.

    Args:
        table: the file.
        filled_in: the texts with placeholders.
    """
    declared = {field.name: field for field in dataclasses.fields(Numbers)}
    given = {name: table.take(name, WHOLE, example) for name, example in STANDARD.items() if name in table.values}
    if "batch" in given:
        given = {"batch": 0, "devices": 1, "min_group": declared["min_group"].default, **given}
    elif alone := [name for name in ("devices", "min_group") if name in given]:
        table.refuse(alone[0], f"{alone[0]} needs batch, as gm splits the batch of a device", "Write batch too.")
    numbers = []
    for name, value in given.items():
        low, high, unit = (declared[name].metadata[key] for key in ("at_least", "at_most", "unit"))
        if not low <= value <= high:
            table.refuse(name, f"{name} must be from {low} to {high} ({unit})", f"Write e.g. {name} = {STANDARD[name]}")
        if name != "min_group" and not placeholders.is_used(name, filled_in):
            low, high, unit = value, value, f"{unit}; the command does not take it"
        numbers.append(CommandNumber(name=name, default=value, unit=unit, at_least=low, at_most=high))
    if "batch" in given and given["batch"] % given["devices"]:
        table.refuse("devices", f"devices must divide batch={given['batch']}", "Choose a divisor of it.")
    return numbers


def read_numbers(table: Table, filled_in: tuple[str, ...]) -> list[CommandNumber]:
    """Return the numbers of the table ``numbers``; the command must use each."""
    found = table.tables("numbers")
    if len(found) > MAX_NUMBERS:
        table.refuse("numbers", f"a recipe must have at most {MAX_NUMBERS} numbers", "Leave some out.", len(found))
    return [_read_number(name, number, filled_in) for name, number in found.items()]


def _read_number(name: str, number: Table, filled_in: tuple[str, ...]) -> CommandNumber:
    if name in STANDARD:
        number.refuse("", f"{name} is a field of the recipe", f"Write {name} = … above all tables.", number.name())
    if name not in placeholders.BUILT_IN and not placeholders.is_used(name, filled_in):
        remedy = f"Put {{{name}}} where the command takes it, or leave the number out."
        number.refuse("", "a number must be in the command or in metric_file", remedy, number.name())
    number.require_known(NUMBER)
    default = number.take("default", *NUMBER["default"])
    if default is None:
        number.refuse("default", f"{number.name('default')} is required", "Write e.g. default = 0.1")
    if type(default) in (int, float) and not _is_in_range(default):
        rule = f"{number.name('default')} must be finite, and a whole number at most {MAX_INT}"
        number.refuse("default", rule, "Write another.")
    return CommandNumber(
        name=name,
        default=default,
        unit=number.take_line("unit", NUMBER["unit"][1]) or "",
        at_least=_read_limit(number, "at_least", default),
        at_most=_read_limit(number, "at_most", default),
        choices=_read_choices(number, default),
    )


def _read_limit(number: Table, key: str, default: Any) -> float | None:
    limit: float | None = number.take(key, *NUMBER[key])
    if limit is None:
        return None
    name = number.name(key)
    if type(default) not in (int, float):
        number.refuse(key, f"{name} is for numbers, and the default is {default!r}", "Leave it out.")
    if isinstance(default, int) and isinstance(limit, float):
        remedy = f"Write default = {default}.0 if fractions are meant."
        number.refuse(key, f"{name} must be a whole number, as the default {default} is one", remedy)
    side, fits = ("most", limit <= default) if key == "at_least" else ("least", limit >= default)
    if not fits or not _is_in_range(limit):
        number.refuse(key, f"{name} must be finite, and at {side} the default {default}", "Change one of them.")
    return limit


def _read_choices(number: Table, default: Any) -> tuple[str, ...]:
    choices = tuple(number.take("choices", *NUMBER["choices"]) or ())
    name, example = number.name("choices"), NUMBER["choices"][1]
    if choices and not isinstance(default, str):
        number.refuse("choices", f"{name} are for texts, and the default is {default!r}", "Leave them out.")
    if isinstance(default, str) and default not in choices:
        rule = f"{name} must list every text that is allowed, with the default {default!r}"
        number.refuse("choices", rule, f"Write e.g. choices = {example}")
    if wrong := [text for text in choices if len(text) > MAX_CHOICE or not text.isprintable()]:
        rule = f"{name} must be lines of at most {MAX_CHOICE} characters"
        number.refuse("choices", rule, "Shorten it, or remove line breaks.", wrong[0])
    return choices


def read_presets(table: Table, recipe: Recipe) -> dict[str, dict[str, object]]:
    """Return the presets of a recipe, checked against its numbers."""
    presets: dict[str, dict[str, object]] = {}
    for name, preset in table.tables("presets").items():
        try:
            numbers = recipe.with_overrides(preset.values)
        except RecipeError as error:
            raise RecipeFileError(f"{preset.where()}: the preset {name} is wrong: {error}") from None
        presets[name] = {key: getattr(numbers, key) for key in preset.values}
    return presets


def _is_in_range(value: float) -> bool:
    return abs(value) <= MAX_INT if isinstance(value, int) else math.isfinite(value)
