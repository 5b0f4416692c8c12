"""How a trial ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search.vocabulary.states import Cause


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of a trial: a value, or the cause of its failure."""

    value: float | None = None  #: the metric, if it finished
    cause: Cause | None = None  #: of the failure, if it failed
    detail: str = ""  #: for users: the reason, or the end of a traceback

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Outcome:
        """Return an outcome from the JSON that a trial's process sends."""
        cause = fields["cause"]
        return cls(value=fields["value"], cause=None if cause is None else Cause(cause), detail=fields["detail"])

    @property
    def runs_again(self) -> bool:
        """Whether the replicate runs again, as a new trial."""
        return self.cause is not None and self.cause.runs_again


def last_line(detail: str) -> str:
    """Return the last line of a traceback or message, at most 500 characters."""
    return (detail.strip().splitlines() or [""])[-1][:500]
