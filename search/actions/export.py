"""Exports all trials of a search as CSV or JSON, streamed in chunks."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Literal

from search.store import queries
from search.store.database import Connection
from search.views import ExportRow, TrialRow

Format = Literal["csv", "json"]
PAGE_SIZE = 500  # trials per query
FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r")  # spreadsheets execute text that starts with these


def export(connection: Connection, search_id: str, format: Format) -> Iterator[str]:
    """Yield the text of a file with all trials of a search, in the order they started.

    Raises:
        NotFound: if no search has that id; raised before anything is yielded.
    """
    first = queries.list_trials(connection, search_id, limit=PAGE_SIZE)
    rows = (ExportRow.from_trial(trial) for trial in _iterate_trials(connection, search_id, first))
    return _iterate_csv(rows) if format == "csv" else _iterate_json(rows)


def _iterate_trials(connection: Connection, search_id: str, page: list[TrialRow]) -> Iterator[TrialRow]:
    while page:
        yield from page
        page = queries.list_trials(connection, search_id, after=page[-1].trial_id, limit=PAGE_SIZE)


def _iterate_csv(rows: Iterable[ExportRow]) -> Iterator[str]:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(ExportRow.model_fields)
    for row in rows:
        writer.writerow([_escape_formula(value) for _, value in row])
        if text.tell() > 2**16:
            yield text.getvalue()
            text.seek(0)
            text.truncate()
    yield text.getvalue()


def _escape_formula(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_PREFIXES) else value


def _iterate_json(rows: Iterable[ExportRow]) -> Iterator[str]:
    separator = "[\n"
    for row in rows:
        yield separator + row.model_dump_json()
        separator = ",\n"
    yield "[]\n" if separator == "[\n" else "\n]\n"
