"""The commands about recipes, scripts and what they train: init, recipes, landscape."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.cli.flags import CheckCommand, Data, Set, complete_recipe, parse_integers
from search.cli.program import SHOW, RecipeCommands
from search.cli.root import Json, app, given_settings, local_settings, program, read_request, wants_json
from search.vocabulary.errors import InvalidSpec

Recipe = Annotated[
    str,
    typer.Argument(
        help="Recipe to train; seqnorm recipes lists them.", metavar="RECIPE", autocompletion=complete_recipe
    ),
]


@app.command()
def init(
    script: Annotated[Path, typer.Argument(help="Python script that trains a model.", metavar="SCRIPT")],
    write: Annotated[bool, typer.Option("--write", help="Write the lines into the script.")] = False,
    json: Json = False,
) -> None:
    """Print the lines that a training script needs to be tuned, as a diff; it is changed with --write only."""
    from search.cli.init import init_script

    init_script(script, write, json, program())


CHECK_EXAMPLES = """Examples:

  seqnorm recipes check train.py --gm 2 --gc 1 -- --epochs 2

  seqnorm recipes check photos --set steps=20 --json"""

recipes_app = typer.Typer(
    cls=RecipeCommands,
    help="List the recipes; name one to see its numbers. Those of your own are files, recipes/NAME.toml in the home.",
    invoke_without_command=True,
    subcommand_metavar="[NAME] | [COMMAND] [ARGS]...",
)
app.add_typer(recipes_app, name="recipes")


@recipes_app.callback()
def recipes(context: typer.Context) -> None:
    """List the recipes if no command follows."""
    from search.cli.recipes import list_recipes

    if context.invoked_subcommand is None:
        list_recipes(given_settings(), None, wants_json())


@recipes_app.command(SHOW)
def show_recipe(name: Recipe, json: Json = False) -> None:
    """Show a recipe with its numbers and presets; seqnorm recipes NAME is short for it."""
    from search.cli.recipes import list_recipes

    list_recipes(given_settings(), name, json)


@recipes_app.command("check", cls=CheckCommand, epilog=CHECK_EXAMPLES)
def check_recipe(
    context: typer.Context,
    gm: Annotated[int, typer.Option(min=1, help="Groups along the mini-batch.")] = 2,
    gc: Annotated[int, typer.Option(min=0, help="Groups along the channels; 0 for GhostNorm.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of each trial.")] = 0,
    json: Json = False,
) -> None:
    """Run a script, a command or the recipe of a file three times here, briefly, and say what works."""
    from search.cli.recipe_check import Point, check

    settings = local_settings("recipes check")
    raise typer.Exit(check(settings, read_request(settings, context), Point(gm=gm, gc=gc, seed=seed), json))


@app.command()
def landscape(
    recipe: Recipe,
    gm: Annotated[str, typer.Option("--gm", help="Group counts of GhostNorm to measure.")] = "4,16,64,128",
    seed: Annotated[int, typer.Option(help="Seed of the training.")] = 0,
    set_: Set = None,
    data: Data = None,
    out: Annotated[Path, typer.Option(help="Folder for data and figures.")] = Path("landscape"),
    gradients: Annotated[
        bool, typer.Option(help="Measure the gradient along each step too; 2 to 3 times as long.")
    ] = True,
    processes: Annotated[int | None, typer.Option(min=1, help="Parallel trainings; one per CPU by default.")] = None,
    json: Json = False,
) -> None:
    """Measure the loss around every step of training, with and without norms, and draw it (the paper's Figure 6)."""
    from search.cli.fields import parse_assignments
    from search.cli.landscape import run_landscape
    from search.landscape.trainings import LandscapeRequest
    from trainers.recipe import RecipeError, find

    settings = local_settings("landscape")
    try:
        found = find(recipe, settings.home)
    except RecipeError as error:
        raise InvalidSpec(str(error)) from None
    request = LandscapeRequest(
        recipe=found,
        gm=tuple(parse_integers("--gm", gm)),
        overrides=parse_assignments(set_ or []),
        seed=seed,
        data=str(Path(data).absolute()) if data else None,
        home=settings.home,
        gradients=gradients,
    )
    raise typer.Exit(run_landscape(request, out, processes, json))
