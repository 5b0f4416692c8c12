"""Prints JSON and tables to stdout."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

if TYPE_CHECKING:
    from search.views import View

UNBOUNDED = 10_000  # columns


def print_json(value: Any) -> None:
    """Print one JSON value to stdout."""
    print(json.dumps(value, allow_nan=False))


def print_view(view: View) -> None:
    """Print a view as one JSON object to stdout."""
    print(view.model_dump_json())


def print_views(views: Iterable[View]) -> None:
    """Print views as one JSON array to stdout."""
    print(f"[{','.join(view.model_dump_json() for view in views)}]")


def print_table(table: Table) -> None:
    """Print a table to stdout, a line for each row, however narrow the terminal: a truncated id is useless."""
    console = Console(width=UNBOUNDED, highlight=False, markup=False)  # names are text, whatever brackets they have
    console.width = Measurement.get(console, console.options, table).maximum
    console.print(table)
