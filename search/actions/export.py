"""Exports all trials of a search as CSV or JSON, a page at a time."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Literal

from search.store import queries
from search.store.database import Connection
from search.views import ExportRow, TrialRow

Format = Literal["csv", "json"]
PAGE_SIZE = 500  # trials per query
FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r")  # spreadsheets execute text that starts with these


Connect = Callable[[], AbstractContextManager[Connection]]


def export(connect: Connect, search_id: str, format: Format) -> Iterator[str]:
    """Yield the text of a file with all trials of a search, in the order they started.

    Each piece of the text holds one page of trials, and is made with a connection of its own. So whoever is slow in
    taking the text keeps no connection.

    Raises:
        NotFound: if no search has that id; raised before anything is yielded.
    """
    first = _read_page(connect, search_id, 0)
    pages = _iterate_pages(connect, search_id, first)
    return _iterate_csv(pages) if format == "csv" else _iterate_json(pages)


def _read_page(connect: Connect, search_id: str, after: int) -> list[TrialRow]:
    with connect() as connection:
        return queries.list_trials(connection, search_id, after=after, limit=PAGE_SIZE)


def _iterate_pages(connect: Connect, search_id: str, page: list[TrialRow]) -> Iterator[list[ExportRow]]:
    while page:
        yield [ExportRow.from_trial(trial) for trial in page]
        page = _read_page(connect, search_id, page[-1].trial_id)


def _iterate_csv(pages: Iterable[list[ExportRow]]) -> Iterator[str]:
    yield _to_csv([ExportRow.model_fields])
    for page in pages:
        yield _to_csv([_escape_formula(value) for _, value in row] for row in page)


def _to_csv(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _escape_formula(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_PREFIXES) else value


def _iterate_json(pages: Iterable[list[ExportRow]]) -> Iterator[str]:
    separator = "[\n"
    for page in pages:
        yield separator + ",\n".join(row.model_dump_json() for row in page)
        separator = ",\n"
    yield "[]\n" if separator == "[\n" else "\n]\n"
