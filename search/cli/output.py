"""Prints JSON, tables and text. Names and reasons are anybody's words: a terminal shows them and obeys none of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from search.vocabulary.formatting import show_controls

if TYPE_CHECKING:
    from search.views import View

UNBOUNDED = 10_000  # columns
LEAST_TEXT = 20  # columns of the one column that is wrapped


class TextConsole(Console):
    """A console that prints text as it is: without markup in brackets, and with control characters shown, not sent."""

    def __init__(self, *, stderr: bool = False, width: int | None = None) -> None:
        super().__init__(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Make text of a string, before its width is measured."""
        return super().render_str(show_controls(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render anything; only control sequences of our own are left."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=show_controls(segment.text))


def print_json(value: Any) -> None:
    """Print one JSON value to stdout."""
    print(json.dumps(value, allow_nan=False))


def print_view(view: View) -> None:
    """Print a view as one JSON object to stdout."""
    _print_json_text(view.model_dump_json())


def print_views(views: Iterable[View]) -> None:
    """Print views as one JSON array to stdout."""
    _print_json_text(f"[{','.join(view.model_dump_json() for view in views)}]")


def _print_json_text(text: str) -> None:
    """Print JSON; in an encoding that cannot show it, with escapes: a replaced character would be another value."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(json.loads(text))
    print(text)


def print_table(table: Table, wrapped: str = "name") -> None:
    """Print a table to stdout. Of its columns only ``wrapped`` is wrapped, by words: a truncated id is useless.

    In a terminal it is as wide as the terminal, unless the other columns need more; elsewhere each row is one line.
    """
    console, least = TextConsole(), least_width(table, wrapped)
    width = max(console.width, least) if console.is_terminal else _measure(table)
    TextConsole(width=width).print(table)


def least_width(table: Table, wrapped: str) -> int:
    """Return how wide a table must be if only the text of one column is wrapped."""
    for column in table.columns:
        column.no_wrap = column.header != wrapped
        column.overflow = "fold"
        column.max_width = LEAST_TEXT if column.header == wrapped else None
    least = _measure(table)
    for column in table.columns:
        column.max_width = None
    return least


def _measure(table: Table) -> int:
    """Return the width of a table without wrapping."""
    console = TextConsole(width=UNBOUNDED)
    return Measurement.get(console, console.options, table).maximum


def print_stderr(text: str) -> None:
    """Print a line to stderr."""
    print(show_controls(text), file=sys.stderr, flush=True)
