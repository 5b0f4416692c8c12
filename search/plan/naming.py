"""Names of values beside gm and gc: the variant of a point, e.g. ``learning_rate=0.1, sigma=0.2``.

A name says all of its values, so that a point is stored, found and trained by its name alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping

Value = int | float | bool | str  #: of a recipe's number

MAIN = "main"  #: the variant of a point without further values
NONE = "none"  #: the variant without normalization
RECIPE = "recipe"  #: that of baselines with the recipe's own numbers, where `main` has others
VARIANT = "variant"  #: the axis whose values are named sets of overrides
MAX_VARIANT = 255  # characters: a column is as wide
_FOLDER = re.compile(r"[A-Za-z0-9._=+,-]{1,100}")


def write_value(value: Value) -> str:
    """Write a value as briefly as it can be read back: 0.1, 1e-05, 256, true."""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def join_name(overrides: str, values: Mapping[str, str]) -> str:
    """Return the variant of a named set of overrides with further values; `main` goes without saying."""
    named = [f"{name}={text}" for name, text in values.items()]
    return ", ".join(named if named and overrides == MAIN else [overrides, *named])


def split_name(variant: str) -> tuple[str, dict[str, str]]:
    """Return the named set of overrides of a variant, and its further values in order. No value has a comma."""
    first, *others = variant.split(", ")
    overrides, named = (MAIN, [first, *others]) if "=" in first else (first, others)
    return overrides, {name: text for name, _, text in (each.partition("=") for each in named)}


def replace_value(variant: str, axis: str, value: Value) -> str:
    """Return a variant with another value of one axis."""
    overrides, values = split_name(variant)
    if axis == VARIANT:
        return join_name(str(value), values)
    return join_name(overrides, {**values, axis: write_value(value)})


def list_columns(variants: Iterable[str]) -> list[str]:
    """Return the names of the columns that tell variants apart from ``main``: of their axes, in order."""
    names: dict[str, None] = {}
    for overrides, values in map(split_name, variants):
        if overrides not in (MAIN, NONE):
            names = {VARIANT: None, **names}
        names |= dict.fromkeys(values)
    return [*names]


def read_column(variant: str, column: str) -> str:
    """Return what a variant has in a column; empty if it has nothing there, as without normalization."""
    overrides, values = split_name(variant)
    return overrides if column == VARIANT else values.get(column, "")


def sort_key(variant: str) -> tuple[object, ...]:
    """Return a key that sorts variants by their values: numbers by size, before texts."""
    overrides, values = split_name(variant)
    return overrides, *(sort_value(text) for text in values.values())


def sort_value(text: str) -> tuple[bool, float, str]:
    """Return a key that sorts values: numbers by size, before texts."""
    try:
        return False, float(text), text
    except ValueError:
        return True, 0.0, text


def folder_name(variant: str) -> str:
    """Return a variant as part of a file's name; a long or unusual one is cut and told apart by its hash."""
    short = variant.replace(", ", ",")
    if _FOLDER.fullmatch(short):
        return short
    return f"{re.sub('[^A-Za-z0-9._=+,-]', '_', short)[:60]}~{hashlib.sha256(variant.encode()).hexdigest()[:12]}"
