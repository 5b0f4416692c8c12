"""Lists the recipes of a home folder, installed ones and those that files describe."""

from __future__ import annotations

from pathlib import Path

from trainers.commands import files
from trainers.commands.recipe_file import read_recipe
from trainers.recipe import Recipe, RecipeError, find, names


def list_recipes(home: Path) -> tuple[list[Recipe], dict[str, str]]:
    """Return the recipes by name, and what is wrong with the other files, each under its name."""
    installed = names()
    recipes, faults = [find(name) for name in installed], {}
    try:
        described = files.list_names(home)
    except RecipeError as error:
        described, faults = [], {files.FOLDER: str(error)}
    for name in described:
        try:
            if name in installed:
                files.refuse_name(home, name, "must not be that of an installed recipe")
            recipes.append(read_recipe(home, name))
        except RecipeError as error:
            faults[name] = str(error)
    return sorted(recipes, key=lambda recipe: recipe.name), faults
