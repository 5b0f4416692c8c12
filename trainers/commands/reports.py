"""Reads what a program reports through ``seqnorm.trial()``: a file of JSON lines that grows."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from trainers.commands.epochs import LARGEST_EPOCH, Figures, Record
from trainers.commands.output import to_number

READ_BYTES = 2**20  # at once; a longer line is no report


class ReportsFile:
    """The file that a program appends its reports to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.values: Figures = {}  #: the last of each figure
        self.result: float | None = None  #: as ``trial.finish`` gave it
        self.refused: str | None = None  #: why the layers refused gm or gc
        self.reads_split = False  #: whether the program has asked for the split
        self.count = 0  #: of epochs reported
        self.malformed = 0  #: lines that are no reports
        self._position = 0
        self._rest = b""

    def start(self) -> None:
        """Put an empty file there, for a new attempt; what a link there leads to stays as it is."""
        self.path.unlink(missing_ok=True)
        self.path.touch(mode=0o600)

    def read(self) -> list[Record]:
        """Return the reports that were added, some of them if these are many; half a line is read later."""
        try:
            with self.path.open("rb") as file:
                if self.path.stat().st_size < self._position:  # the program has emptied it
                    self._position, self._rest = 0, b""
                file.seek(self._position)
                added = file.read(READ_BYTES)
        except OSError:  # removed by the program
            return []
        self._position += len(added)
        *lines, self._rest = (self._rest + added).split(b"\n")
        if len(self._rest) > READ_BYTES:
            self._rest = b""
            self.malformed += 1
        return [record for line in lines if (record := self._parse(line)) is not None]

    def finish(self) -> list[Record]:
        """Return the last report if its line lacks an end, once the program has ended."""
        rest, self._rest = self._rest, b""
        record = self._parse(rest) if rest else None
        return [] if record is None else [record]

    def _parse(self, line: bytes) -> Record | None:
        try:
            fields = json.loads(line) if line.strip() else {}
            if not isinstance(fields, dict):
                raise ValueError
            return self._take(fields)
        except (ValueError, RecursionError):
            self.malformed += 1
            return None

    def _take(self, fields: Mapping[str, object]) -> Record | None:
        if "result" in fields:
            self.result = _figure(fields["result"])
        if "refused" in fields:
            self.refused = str(fields["refused"])[:1000]
        self.reads_split |= "split" in fields
        if "figures" not in fields:
            return None
        epoch, given = fields.get("epoch"), fields["figures"]
        is_epoch = isinstance(epoch, int) and not isinstance(epoch, bool) and 0 <= epoch <= LARGEST_EPOCH
        if not isinstance(given, Mapping) or not (is_epoch or epoch is None):
            raise ValueError
        figures = {name: _figure(value) for name, value in given.items() if 0 < len(name) <= 100 and name.isprintable()}
        self.values.update(figures)
        self.count += 1
        return Record(figures, epoch if isinstance(epoch, int) else None)


def _figure(value: object) -> float:
    if value is None:  # as JavaScript and R write NaN
        return math.nan
    number = None if isinstance(value, str) else to_number(value)
    if number is None:
        raise ValueError
    return number
