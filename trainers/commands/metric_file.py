"""Reads the metric from a file that a program writes: CSV (``,``, ``;`` or tabs), JSON or JSON lines."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from trainers.commands.epochs import Record
from trainers.commands.output import WITH_COMMAS, epoch_of, flatten, look_up, to_number
from trainers.near_misses import did_you_mean

MAX_JSON = 64 * 2**20  # bytes
HEAD_BYTES, TAIL_BYTES = 64 * 1024, 8 * 2**20  # of a table: its header, and what is read of a longer one
SHOWN_NAMES = 20

Rows = list[Mapping[str, object]]

_WITH_COMMAS = re.compile(WITH_COMMAS, re.VERBOSE)


class NoMetric(Exception):
    """The file does not hold the metric; the message says what it holds."""


class MetricFile:
    """A file of metrics. One that is there before the program starts counts once the program has changed it."""

    def __init__(self, path: Path, metric: str) -> None:
        self.path = path
        self._metric = metric
        self._before: object = None
        self._read: object = None
        self._returned = 0

    def start(self) -> None:
        """Remember what is there before the program starts."""
        self._before = self._state()

    def read_added(self) -> list[Record]:
        """Return the records that were added since the last call, of a file that may be half written."""
        state = self._state()
        if state is None or state in (self._before, self._read):
            return []
        self._read = state
        try:
            records = self._records(is_whole=False)
        except (NoMetric, OSError):
            return []
        added, self._returned = records[self._returned :], len(records)
        return added

    def value(self) -> float:
        """Return the last value, when the program has ended.

        Raises:
            NoMetric: if there is none.
        """
        if (state := self._state()) is None:
            raise NoMetric(f"the program did not write the metric file {self.path}")
        if state == self._before:
            raise NoMetric(f"the metric file {self.path} is from before: the program did not change it")
        try:
            return self._records(is_whole=True)[-1].figures[self._metric]
        except OSError as error:
            raise NoMetric(f"the metric file {self.path} cannot be read: {error.strerror}") from None

    def _state(self) -> object:
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _records(self, is_whole: bool) -> list[Record]:
        """Return a record for each row with a value of the metric.

        Raises:
            NoMetric: if there is none.
        """
        rows = self._rows(is_whole)
        records, unread = [], None
        for row in rows:
            if (value := look_up(row, self._metric)) is not None:
                records.append(Record({**flatten(row), self._metric: value}, epoch_of(row)))
                unread = None
            elif _WITH_COMMAS.fullmatch(str(row.get(self._metric, "")).strip()):
                unread = row[self._metric]
        if is_whole and unread is not None:
            raise NoMetric(
                f"the last {self._metric} of the metric file {self.path} is none that can be read, {unread}: write it "
                "with a decimal point, and without commas"
            )
        if not records:
            raise NoMetric(self._explain(rows))
        return records

    def _explain(self, rows: Rows) -> str:
        names = list({name: None for row in rows[:1] + rows[-1:] for name in _names(row)})
        if self._metric in names:
            return f"the metric file {self.path} has no number for {self._metric} in any row"
        if not names:
            return f"the metric file {self.path} is empty"
        listed = ", ".join(names[:SHOWN_NAMES]) + (", …" if len(names) > SHOWN_NAMES else "")
        return f"the metric file {self.path} has no {self._metric}: it has {listed}.{did_you_mean(self._metric, names)}"

    def _rows(self, is_whole: bool) -> Rows:
        with self.path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            text = file.read(HEAD_BYTES)
            if text.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
                if size > MAX_JSON:
                    raise NoMetric(
                        f"the metric file {self.path} has more than {MAX_JSON // 2**20} MB: write one that is smaller"
                    )
                text += file.read()
                return self._json_rows(text.decode("utf-8-sig", "replace"), is_whole)
            if size <= TAIL_BYTES:
                text += file.read()
            else:
                file.seek(size - TAIL_BYTES)
                text = text[: text.find(b"\n") + 1] + file.read().partition(b"\n")[2]
        return _table_rows(text.decode("utf-8-sig", "replace"), is_whole)

    def _json_rows(self, text: str, is_whole: bool) -> Rows:
        try:
            parsed = json.loads(text)
        except (ValueError, RecursionError) as error:
            rows = _json_lines(text)
            if not rows and is_whole:
                raise NoMetric(f"the metric file {self.path} is no valid JSON: {error}") from None
            return rows
        if isinstance(parsed, list):
            return [row for row in parsed if isinstance(row, dict)]
        return _columns(parsed) if isinstance(parsed, dict) else []


def _json_lines(text: str) -> Rows:
    rows: Rows = []
    for line in text.splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):  # half written
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def _columns(parsed: dict[str, object]) -> Rows:
    """Return the rows of an object of equally long lists, such as a history; another object is one row."""
    columns = {name: values for name, values in parsed.items() if isinstance(values, list)}
    if not columns:
        return [parsed]
    length = max(len(values) for values in columns.values())
    rows: Rows = [
        {name: values[index] for name, values in columns.items() if index < len(values)} for index in range(length)
    ]
    single = {name: value for name, value in parsed.items() if name not in columns}
    return [*rows, single] if any(isinstance(value, int | float | Mapping) for value in single.values()) else rows


def _table_rows(text: str, is_whole: bool) -> Rows:
    if not is_whole:
        text = text[: text.rfind("\n") + 1]
    lines = [line for line in text.replace("\0", "").splitlines() if line.strip()]
    if not lines:
        return []
    delimiter = max(",;\t", key=lines[0].count)
    header, *rows = csv.reader(lines, delimiter=delimiter)
    names = [name.strip() for name in header]
    converted = [
        {name: cell if (number := to_number(cell)) is None else number for name, cell in zip(names, row, strict=False)}
        for row in rows
    ]
    return [*converted] or [dict.fromkeys(names)]


def _names(row: Mapping[str, object], prefix: str = "") -> list[str]:
    names: list[str] = []
    for name, value in row.items():
        names += _names(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [f"{prefix}{name}"]
    return names
