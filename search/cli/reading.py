"""``list``, ``show``, ``recipes``, ``plan`` and ``export``: read-only commands."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal

from rich.table import Table
from rich.text import Text

from search.cli.backends import make_backend
from search.cli.output import TextConsole, print_table, print_view, print_views
from search.cli.tables import print_result
from search.settings import Settings
from search.vocabulary.errors import InvalidSpec
from search.vocabulary.formatting import format_duration
from search.vocabulary.states import Status


def list_searches(settings: Settings, status: str | None, limit: int, json: bool, program: str) -> None:
    """Print searches, newest first.

    Raises:
        InvalidSpec: if the status is unknown.
    """
    if status is not None and status not in set(Status):
        raise InvalidSpec(f"--status must be one of {', '.join(Status)}: got {status!r}. Leave it out for all.")
    rows = make_backend(settings).searches(Status(status) if status else None, limit)
    if json:
        print_views(rows)
        return
    if not rows:
        start = "submit -f FILE" if settings.url else "tune RECIPE"
        print(f"No search is {status}." if status else f"No searches yet. Start one with: {program} {start}")
        return
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for column in ("search", "status", "recipe", "strategy", "trials", "chosen", "created", "name"):
        table.add_column(column)
    for row in rows:
        table.add_row(
            row.search,
            row.status,
            row.recipe,
            row.strategy,
            f"{row.finished}/{row.planned}",
            f"gm={row.chosen.gm}, gc={row.chosen.gc}" if row.chosen else "",
            datetime.fromtimestamp(row.created_at).strftime("%Y-%m-%d %H:%M"),
            row.name,
        )
    print_table(table)


def show_search(settings: Settings, search_id: str, json: bool, program: str) -> None:
    """Print a search."""
    print_result(make_backend(settings).show(search_id), json, settings, program)


def list_recipes(settings: Settings, name: str | None, json: bool) -> None:
    """Print the installed recipes, or one recipe with its numbers and presets.

    Raises:
        InvalidSpec: if no recipe has that name.
    """
    known = make_backend(settings).recipes()
    recipes = [recipe for recipe in known if name in (None, recipe.name)]
    if not recipes:
        raise InvalidSpec(f"no recipe is named {name!r}. Known: {', '.join(recipe.name for recipe in known)}.")
    if json:
        print_views(recipes)
        return
    console = TextConsole()
    for recipe in recipes:
        console.print(Text.assemble((recipe.name, "bold"), f"  {recipe.title}"), soft_wrap=True)
        if recipe.data:
            console.print(f"  data: {recipe.data}", soft_wrap=True, style=None if name else "dim")
        if name is None:
            continue
        for number in recipe.numbers:
            line = f"  {number.name:<19} {number.default!s:<22} {number.unit}"
            console.print(line, style="dim", soft_wrap=True)
        for preset, numbers in recipe.presets.items():
            console.print(f"  preset {preset}: {' '.join(f'{key}={value}' for key, value in numbers.items())}")
    if name is None:
        console.print("\nShow a recipe's numbers, which --set overrides: seqnorm recipes NAME", style="dim")


def print_plan(settings: Settings, fields: dict[str, Any], json: bool) -> None:
    """Print how many trials a search would run, and which group counts are refused.

    Raises:
        InvalidSpec: if anything except a group count is invalid.
    """
    plan = make_backend(settings).plan(fields)
    if json:
        print_view(plan)
        return
    console = TextConsole()
    if plan.data:
        console.print(f"Data: {plan.data}", soft_wrap=True)
    for stage, trials in plan.stages.items():
        console.print(f"stage {stage:<5} {trials:>7} trials")
    others = ", ".join(f"{name} would take {trials}" for name, trials in plan.totals.items() if name != plan.strategy)
    console.print(f"{plan.trials} trials at most; {others}.")
    if plan.seconds is not None:
        console.print(f"Run one after another, they take about {format_duration(plan.seconds)}.")
    for refused in plan.refused:
        console.print(f"{refused.value} is refused: {refused.reason}", style="red", soft_wrap=True)


def export_trials(settings: Settings, search_id: str, format: Literal["csv", "json"], out: Path | None) -> None:
    """Write all trials of a search to a file, or to stdout."""
    backend = make_backend(settings)
    if out is None:
        backend.export(search_id, format, sys.stdout.buffer)
        return
    try:
        if out.exists() and not out.is_file():  # e.g. a device, which cannot be replaced
            with out.open("wb") as file:
                backend.export(search_id, format, file)
        else:
            _write_atomically(out.resolve(), lambda file: backend.export(search_id, format, file))
    except OSError as error:
        raise InvalidSpec(
            f"-o must name a file that can be written: got {out} ({error.strerror}). Name another."
        ) from None


def _write_atomically(target: Path, write: Callable[[BinaryIO], None]) -> None:
    """Write a file atomically, by way of a new one that nobody can have laid out before, e.g. as a link."""
    part = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            write(file)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
