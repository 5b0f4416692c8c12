"""``list``, ``show`` and ``recipes``: commands that change nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from search.cli.app import print_json
from search.cli.tables import print_result
from search.errors import InvalidSpec
from search.settings import Settings
from search.store import queries
from search.store.opening import open_store
from search.store.searches import STATUSES
from trainers.recipe import RecipeError, describe, find, names


def list_searches(settings: Settings, status: str | None, limit: int, json: bool, program: str) -> None:
    """Print searches, newest first.

    Raises:
        InvalidSpec: for a status that no search can have.
    """
    if status is not None and status not in STATUSES:
        raise InvalidSpec(f"--status must be one of {', '.join(STATUSES)}: got {status!r}. Leave it out for all.")
    engine = open_store(settings.database_url)
    with engine.connect() as connection:
        rows = queries.list_searches(connection, status, limit=limit)
    engine.dispose()
    if json:
        print_json(rows)
        return
    console = Console(highlight=False)
    if not rows:
        none = f"No search is {status}." if status else f"No searches yet. Start one with: {program} tune RECIPE"
        console.print(none, soft_wrap=True)
        return
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for column in ("id", "status", "recipe", "strategy", "trials", "chosen", "created", "name"):
        table.add_column(column, no_wrap=column != "name")
    for row in rows:
        table.add_row(
            row["id"],
            row["status"],
            row["recipe"],
            row["strategy"],
            f"{row['finished']}/{row['planned']}",
            _chosen(row["chosen"]),
            datetime.fromtimestamp(row["created_at"]).strftime("%Y-%m-%d %H:%M"),
            row["name"],
        )
    console.print(table, crop=False, soft_wrap=True)  # an id cut short is of no use


def _chosen(point: dict[str, Any] | None) -> str:
    return f"gm={point['gm']}, gc={point['gc']}" if point else ""


def show_search(settings: Settings, search_id: str, json: bool, program: str) -> None:
    """Print a search."""
    engine = open_store(settings.database_url)
    with engine.connect() as connection:
        shown = queries.show_search(connection, search_id)
    print_result(shown, json, settings, program)


def list_recipes(name: str | None, json: bool) -> None:
    """Print the installed recipes; one of them with its numbers and presets.

    Raises:
        InvalidSpec: if none has the name.
    """
    try:
        recipes = [find(known) for known in ([name] if name else names())]
    except RecipeError as error:
        raise InvalidSpec(str(error)) from None
    if json:
        print_json([describe(recipe) for recipe in recipes])
        return
    console = Console(highlight=False)
    for recipe in map(describe, recipes):
        console.print(f"[bold]{recipe['name']}[/bold]  {recipe['title']}", soft_wrap=True)
        if recipe["data"]:
            console.print(f"  data: {recipe['data']}", soft_wrap=True, style=None if name else "dim")
        if name is None:
            continue
        for number in recipe["numbers"]:
            line = f"  {number['name']:<19} {number['default']!s:<22} {number['unit']}"
            console.print(line, style="dim", soft_wrap=True)
        for preset, numbers in recipe["presets"].items():
            console.print(f"  preset {preset}: {' '.join(f'{key}={value}' for key, value in numbers.items())}")
    if name is None:
        console.print("\nA recipe's numbers, all of which --set can change: seqnorm recipes NAME", style="dim")
