"""Every trial of a search in a file, for other programs: CSV or JSON, made in pieces."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from search.store import queries
from search.store.database import Connection

Format = Literal["csv", "json"]
COLUMNS = (
    "stage",
    "number",
    "variant",
    "gm",
    "gc",
    "seed",
    "state",
    "cause",
    "value",
    "seconds",
    "started_at",
    "gm_total",
    "group_size",
    "reused_from",
    "detail",
)
PAGE = 500  # trials read at once
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a text that begins so is run by spreadsheets


def export(connection: Connection, search_id: str, format: Format) -> Iterator[str]:
    """Yield the text of a file with every trial of a search, in the order they started.

    Raises:
        NotFound: if no search has that id; before anything is yielded.
    """
    first = queries.list_trials(connection, search_id, limit=PAGE)
    rows = (_row(trial) for trial in _trials(connection, search_id, first))
    return _csv(rows) if format == "csv" else _json(rows)


def _trials(connection: Connection, search_id: str, page: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    while page:
        yield from page
        page = queries.list_trials(connection, search_id, after=page[-1]["trial_id"], limit=PAGE)


def _row(trial: Mapping[str, Any]) -> dict[str, Any]:
    return {column: trial.get(column, trial["attributes"].get(column)) for column in COLUMNS}


def _csv(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([_harmless(row[column]) for column in COLUMNS])
        if text.tell() > 2**16:
            yield text.getvalue()
            text.seek(0)
            text.truncate()
    yield text.getvalue()


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _json(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    separator = "[\n"
    for row in rows:
        yield separator + json.dumps(row, allow_nan=False)
        separator = ",\n"
    yield "[]\n" if separator == "[\n" else "\n]\n"
