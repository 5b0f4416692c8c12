"""How a trial ended."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search.vocabulary.sentences import own_sentences
from search.vocabulary.states import Cause

LARGEST_VALUE = 1e100  # of a metric: sums of squares of larger ones overflow, in Python and in SQL
_FRAME = re.compile(r' +File ".+", line \d+')
_PRINTED = re.compile(r"\n(?:Its last lines:\n|It printed nothing\.\Z)")  # as trainers.commands.endings writes it


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of a trial: a value, or the cause of its failure."""

    value: float | None = None  #: the metric, if it finished
    cause: Cause | None = None  #: of the failure, if it failed
    detail: str = ""  #: for users: the reason, or the end of a traceback
    samples: int | None = None  #: number of samples that an accuracy was measured on, if known

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Outcome:
        """Return an outcome from the JSON that a trial's process sends."""
        value, cause, samples = fields["value"], fields["cause"], fields.get("samples")
        return cls(
            value=None if value is None else float(value),
            cause=None if cause is None else Cause(cause),
            detail=str(fields["detail"]),
            samples=None if samples is None else int(samples),
        )

    @property
    def runs_again(self) -> bool:
        """Whether the replicate runs again, as a new trial."""
        return self.cause is not None and self.cause.runs_again


def is_comparable(value: float) -> bool:
    """Return whether a metric is finite, and small enough for means and standard deviations."""
    return abs(value) <= LARGEST_VALUE  # false for nan


def last_line(detail: str) -> str:
    """Return what a traceback ends with, at most 500 characters: the first line of its exception's own sentence.

    Of a message that is not a traceback, return the last line; of a program, the sentence above what it printed last.
    """
    if (printed := _PRINTED.search(detail)) is not None:
        return detail[: printed.start()].strip()[:500]
    lines = own_sentences(detail).rstrip().splitlines()
    frames = [number for number, line in enumerate(lines) if _FRAME.match(line)]
    after = lines[frames[-1] + 1 :] if frames else lines[-1:]
    ends = (line for line in after if line.strip() and not line.startswith(" "))
    return next(ends, lines[-1].strip() if lines else "")[:500]


def printable(text: str) -> str:
    """Escape what PostgreSQL cannot store and UTF-8 cannot encode: NUL and lone surrogates."""
    return str.encode(text, "utf-8", "backslashreplace").decode().replace("\0", "\\x00")
