"""``list``, ``show``, ``plan`` and ``export``: read-only commands."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from rich.cells import cell_len
from rich.table import Table

from search.cli.advice import advise_start
from search.cli.backends import Filters, make_backend
from search.cli.output import LEAST_TEXT, TextConsole, print_table, print_view, print_views
from search.cli.progress import describe_row
from search.cli.tables import print_result
from search.settings import Settings
from search.views import SearchRow
from search.vocabulary.errors import InvalidSpec
from search.vocabulary.exports import ExportFormat, ExportTable
from search.vocabulary.formatting import format_duration, format_trials, show_controls
from trainers.commands.command import Command
from trainers.near_misses import did_you_mean
from trainers.recipe import names

COLUMNS: dict[str, Callable[[SearchRow], str]] = {  # of a list
    "search": lambda row: row.search,
    "status": lambda row: row.status,
    "recipe": lambda row: row.recipe,
    "strategy": lambda row: row.strategy,
    "trials": describe_row,
    "chosen": lambda row: str(row.chosen) if row.chosen else "",
    "created": lambda row: datetime.fromtimestamp(row.created_at).strftime("%Y-%m-%d %H:%M"),
    "name": lambda row: row.name,
}
STATES = ("status", "archived")  # filters that say what a search is, not what it has
PADDING = 2  # columns behind each
LEFT_OUT_FIRST = ("strategy", "created", "recipe", "chosen", "trials")  # in narrow terminals


def list_searches(settings: Settings, limit: int, filters: Filters, json: bool, program: str) -> None:
    """Print searches, newest first unless sorted otherwise."""
    rows = make_backend(settings).searches(limit, **filters)
    if json:
        print_views(rows)
    elif rows:
        print_table(_fitting_table(rows))
    else:
        print(_describe_none(settings, filters, program))


def _fitting_table(rows: list[SearchRow]) -> Table:
    """Return a table of searches with the columns that fit the terminal; each is measured once."""
    terminal = TextConsole()
    cells = {header: [write(row) for row in rows] for header, write in COLUMNS.items()}
    widths = {header: PADDING + max(map(cell_len, map(show_controls, (header, *cells[header])))) for header in cells}
    widths["name"] = min(widths["name"], PADDING + LEAST_TEXT)
    if terminal.is_terminal:
        for header in LEFT_OUT_FIRST:
            if sum(widths.values()) <= terminal.width:
                break
            del widths[header]
    table = Table(box=None, header_style="dim", padding=(0, PADDING, 0, 0))
    for header in widths:
        table.add_column(header)
    for row in zip(*(cells[header] for header in widths), strict=True):
        table.add_row(*row)
    return table


def _describe_none(settings: Settings, filters: Filters, program: str) -> str:
    given = {name: value for name, value in filters.items() if value and name != "sort"}
    states = [str(value) if name == "status" else name for name, value in given.items() if name in STATES]
    others = [f"{name} {value}" for name, value in given.items() if name not in STATES]
    recipe = filters.get("recipe")
    known = names(settings.home)
    hint = did_you_mean(recipe, known) if recipe and recipe not in known else ""
    if others:
        return f"No {' '.join([*states, 'search'])} has {', '.join(others)}.{hint}"
    if states:
        return f"No search is {' and '.join(states)}."
    return f"No searches yet. {advise_start(settings, program)}"


def show_search(settings: Settings, search_id: str, json: bool, program: str) -> None:
    """Print a search."""
    print_result(make_backend(settings).show(search_id), json, settings, program)


def print_plan(settings: Settings, fields: dict[str, Any], json: bool, command: Command | None = None) -> None:
    """Print how many trials a search would run, and which group counts are refused.

    Raises:
        InvalidSpec: if anything except a group count is invalid.
    """
    plan = make_backend(settings).plan(fields, command)
    if json:
        print_view(plan)
        return
    console = TextConsole()
    if plan.data:
        console.print(f"Data: {plan.data}", soft_wrap=True)
    width = max([5, *map(len, plan.stages)])
    for stage, trials in plan.stages.items():
        console.print(f"stage {stage:<{width}} {trials:>7} {'trial' if trials == 1 else 'trials'}")
    others = ", ".join(f"{name} would take {trials}" for name, trials in plan.totals.items() if name != plan.strategy)
    console.print(f"{format_trials(plan.trials)} at most; {others}.")
    if plan.seconds is not None:
        console.print(f"Run one after another, they take about {format_duration(plan.seconds)}.")
    if command and not any(number.name == "batch" for number in command.numbers):
        console.print("gm is not checked, as the batch is unknown: give --batch N.", soft_wrap=True)
    if command and not command.measures_test:
        console.print(
            "Stage test measures what the others do with fresh seeds: nothing reads the split.", soft_wrap=True
        )
    for refused in plan.refused:
        console.print(f"{refused.value} is refused: {refused.reason}", style="red", soft_wrap=True)


def export_table(
    settings: Settings,
    search_id: str,
    format: ExportFormat,
    out: Path | None,
    table: ExportTable = "trials",
) -> None:
    """Write all trials or all candidates of a search to a file, or to stdout."""
    backend = make_backend(settings)
    if out is None:
        backend.export(search_id, format, sys.stdout.buffer, table)
        return
    try:
        if out.exists() and not out.is_file():  # e.g. a device, which cannot be replaced
            with out.open("wb") as file:
                backend.export(search_id, format, file, table)
        else:
            _write_atomically(out.resolve(), lambda file: backend.export(search_id, format, file, table))
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
