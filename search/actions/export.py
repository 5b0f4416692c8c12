"""Exports all trials of a search, a page at a time, or all of its candidates, as CSV or JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager

from search.plan.stages import TEST
from search.store import queries
from search.store.database import Connection
from search.views import ExportedCandidate, ExportRow, TrialRow
from search.vocabulary.exports import ExportFormat, ExportTable

Row = ExportRow | ExportedCandidate
PAGE_SIZE = 500  # trials per query
FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r")  # spreadsheets execute text that starts with these


Connect = Callable[[], AbstractContextManager[Connection]]


def export(connect: Connect, search_id: str, format: ExportFormat, table: ExportTable = "trials") -> Iterator[str]:
    """Yield the text of a file with all trials of a search, in the order they started, or with all candidates.

    Each piece of the text holds one page of trials, and is made with a connection of its own. So whoever is slow in
    taking the text keeps no connection.

    Raises:
        NotFound: if no search has that id; raised before anything is yielded.
    """
    pages: Iterable[Sequence[Row]]
    if table == "candidates":
        kind: type[Row] = ExportedCandidate
        pages = [rows] if (rows := _list_candidates(connect, search_id)) else []
    else:
        kind, pages = ExportRow, _iterate_pages(connect, search_id, _read_page(connect, search_id, 0))
    return _iterate_csv(kind, pages) if format == "csv" else _iterate_json(pages)


def _list_candidates(connect: Connect, search_id: str) -> list[ExportedCandidate]:
    """Return the candidates of every stage, the chosen ones with the gain over what they were compared with."""
    with connect() as connection:
        shown = queries.show_search(connection, search_id)
    rows: list[ExportedCandidate] = []
    for stage in shown.stages:
        for row in stage.candidates:
            gains = [stage.gain] if row.chosen and stage.gain else []
            rows += ExportedCandidate.list_rows(stage.name, row, gains)
    for measured in shown.test:
        rows += ExportedCandidate.list_rows(TEST, measured, measured.gains)
    return rows


def _read_page(connect: Connect, search_id: str, after: int) -> list[TrialRow]:
    with connect() as connection:
        return queries.list_trials(connection, search_id, after=after, limit=PAGE_SIZE)


def _iterate_pages(connect: Connect, search_id: str, page: list[TrialRow]) -> Iterator[list[ExportRow]]:
    while page:
        yield [ExportRow.from_trial(trial) for trial in page]
        page = _read_page(connect, search_id, page[-1].trial_id)


def _iterate_csv(kind: type[Row], pages: Iterable[Sequence[Row]]) -> Iterator[str]:
    yield _to_csv([kind.model_fields])
    for page in pages:
        yield _to_csv([_escape_formula(value) for _, value in row] for row in page)


def _to_csv(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _escape_formula(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_PREFIXES) else value


def _iterate_json(pages: Iterable[Sequence[Row]]) -> Iterator[str]:
    separator = "[\n"
    for page in pages:
        yield separator + ",\n".join(row.model_dump_json() for row in page)
        separator = ",\n"
    yield "[]\n" if separator == "[\n" else "\n]\n"
