"""Finds the recipe of a search: an installed one, one that a file in the home folder describes, or a command."""

from __future__ import annotations

from pathlib import Path

from trainers.commands.command import Command
from trainers.commands.recipe import make_recipe
from trainers.recipe import Recipe, find


def find_recipe(name: str, home: Path | None = None, command: Command | None = None) -> Recipe:
    """Return the recipe of a search.

    Args:
        name: of the recipe, as in the search's spec.
        home: folder whose ``recipes`` folder may describe it; None for installed recipes only.
        command: of a search that was made from a script or a command line.

    Raises:
        RecipeError: if no recipe has that name.
    """
    return make_recipe(name, command) if command else find(name, home)
