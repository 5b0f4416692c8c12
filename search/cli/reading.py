"""``list``, ``show`` and ``recipes``: commands that change nothing."""

from __future__ import annotations

import dataclasses
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
from trainers.recipe import find, names


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


def list_recipes(json: bool) -> None:
    """Print the installed recipes and their numbers."""
    recipes = [find(name) for name in names()]
    described: list[dict[str, Any]] = [
        {
            "name": recipe.name,
            "title": recipe.title,
            "metric": recipe.metric,
            "mode": recipe.mode,
            "data": recipe.data,
            "numbers": [
                {"name": field.name, "default": field.default, "unit": field.metadata.get("unit", "")}
                for field in dataclasses.fields(recipe.numbers)
            ],
        }
        for recipe in recipes
    ]
    if json:
        print_json(described)
        return
    console = Console(highlight=False)
    for recipe in described:
        console.print(f"[bold]{recipe['name']}[/bold]  {recipe['title']}")
        if recipe["data"]:
            console.print(f"  data: {recipe['data']}", soft_wrap=True)
        for number in recipe["numbers"]:
            console.print(
                f"  {number['name']:<14} {number['default']!s:<8} {number['unit']}", style="dim", soft_wrap=True
            )
