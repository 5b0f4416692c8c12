"""``recipes``: lists the recipes, and shows one with its numbers."""

from __future__ import annotations

from rich.text import Text

from search.cli.backends import make_backend
from search.cli.output import TextConsole, print_stderr, print_views
from search.settings import Settings
from search.views import RecipeKind, RecipeView
from search.vocabulary.errors import InvalidSpec
from search.vocabulary.formatting import format_unit
from trainers.near_misses import did_you_mean


def list_recipes(settings: Settings, name: str | None, json: bool) -> None:
    """Print the recipes, and what is wrong with files that describe none; or one recipe with its numbers and presets.

    Raises:
        InvalidSpec: if no recipe has that name, or its file is wrong.
    """
    known, faults = make_backend(settings).recipes()
    recipes = [recipe for recipe in known if name in (None, recipe.name)]
    if not recipes and name is not None:
        all_names = [recipe.name for recipe in known]
        raise InvalidSpec(
            faults.get(name)
            or f"no recipe is named {name!r}. Known: {', '.join(all_names)}.{did_you_mean(name, all_names)}"
        )
    if json:
        print_views(recipes)
    else:
        _print_recipes(recipes, in_full=name is not None)
    if name is None:
        for fault in faults.values():
            print_stderr(f"warning: {fault}")


def _print_recipes(recipes: list[RecipeView], in_full: bool) -> None:
    console = TextConsole()
    for recipe in recipes:
        kind = " (a file)" if recipe.kind is RecipeKind.FILE else ""
        console.print(Text.assemble((recipe.name, "bold"), f"  {recipe.title}{kind}"), soft_wrap=True)
        if recipe.data:
            console.print(f"  data: {recipe.data}", soft_wrap=True, style=None if in_full else "dim")
        if not in_full:
            continue
        for number in recipe.numbers:
            line = f"  {number.name:<19} {number.default!s:<22} {format_unit(number)}"
            console.print(line.rstrip(), style="dim", soft_wrap=True)
        for preset, numbers in recipe.presets.items():
            console.print(f"  preset {preset}: {' '.join(f'{key}={value}' for key, value in numbers.items())}")
    if not in_full:
        console.print("\nShow a recipe's numbers, which --set overrides: seqnorm recipes NAME", style="dim")
