"""Reads ``--vary NAME=VALUE,VALUE``: further axes of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search.cli.own_command import read_value
from search.vocabulary.errors import InvalidSpec


def read_axes(given: Sequence[str]) -> dict[str, list[str]]:
    """Read the values of each axis as text; the recipe converts them. No value has a comma.

    Raises:
        InvalidSpec: for an axis without a name or values, and for a repeated name.
    """
    axes: dict[str, list[str]] = {}
    for text in given:
        name, sign, values = (part.strip() for part in text.partition("="))
        listed = [value.strip() for value in values.split(",")]
        if not (name and sign and all(listed)):
            example = f"{name or 'learning_rate'}=0.05,0.1,0.2"
            missing = "no name" if not name else "no values" if not sign else "an empty value"
            raise InvalidSpec(f"--vary must be NAME=VALUE,VALUE: got {text!r}, {missing}. Give e.g. --vary {example}.")
        if name in axes:
            raise InvalidSpec(f"--vary must give an axis once: got {name} twice. List all of its values in one.")
        axes[name] = listed
    return axes


def read_values(values: Sequence[Any]) -> list[Any]:
    """Return the values of a command's axis as what they are typed like: all fractions if one of them is."""
    read = [read_value(value) if isinstance(value, str) else value for value in values]
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in read)
    return [float(value) for value in read] if numbers and any(isinstance(value, float) for value in read) else read


def with_first_values(numbers: Mapping[str, Any], axes: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Return the numbers of a command with the first value of each axis, which it starts from: it has no default."""
    return {**numbers, **{name: values[0] for name, values in axes.items() if name not in numbers and values}}
