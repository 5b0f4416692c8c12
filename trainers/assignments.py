"""Parse ``NAME=VALUE`` overrides of a recipe's numbers from the command line. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence

from trainers.recipe import RecipeError


def read_assignments(pairs: Sequence[str], flag: str = "--set") -> dict[str, str]:
    """Parse the values of a flag such as ``--set`` as text; the recipe converts them.

    Raises:
        RecipeError: for a pair without a name or ``=``, and for a repeated name.
    """
    values: dict[str, str] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not (name and sign):
            raise RecipeError(f"{flag} must be NAME=VALUE: got {pair!r}. Give e.g. {flag} epochs=10.")
        if name in values:
            times = sum(each.partition("=")[0] == name for each in pairs)
            raise RecipeError(f"{flag} must give a number once: got {name} {times} times. Leave one.")
        values[name] = value
    return values
