"""``NAME=VALUE``, as command lines give a recipe's numbers. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence

from trainers.recipe import RecipeError


def read_assignments(pairs: Sequence[str]) -> dict[str, str]:
    """Read the values of ``--set``; the recipe knows what each is to be.

    Raises:
        RecipeError: for one without a name or ``=``, and for a name that comes twice.
    """
    values: dict[str, str] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not (name and sign):
            raise RecipeError(f"--set must be NAME=VALUE: got {pair!r}. Give e.g. --set epochs=10.")
        if name in values:
            times = sum(each.partition("=")[0] == name for each in pairs)
            raise RecipeError(f"--set must give a number once: got {name} {times} times. Leave one.")
        values[name] = value
    return values
