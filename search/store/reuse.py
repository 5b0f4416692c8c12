"""Finds finished trials of a parent that a child can reuse."""

from __future__ import annotations

from search.plan.digest import changed_parts
from search.plan.selection import Point
from search.plan.stages import Replicate
from search.store import searches
from search.store.attempts import Attempt, read_attempts
from search.store.database import Connection
from search.vocabulary.states import TrialState
from trainers.trial import Measure


class ReusableTrials:
    """The finished trials of a search, by point, seed and measured split."""

    def __init__(self, search_id: str) -> None:
        self.search_id = search_id
        self.samples: dict[Measure, int] = {}  #: that accuracies were measured on, by split
        self._found: dict[tuple[bool, Point, int], Attempt] = {}

    @classmethod
    def read(cls, connection: Connection, parent: str, digest: dict[str, str]) -> ReusableTrials:
        """Read the trials of a parent; none if its code, numbers or data differ."""
        originals = cls(parent)
        search = searches.get(connection, parent)
        if not changed_parts(search.digest, digest):
            originals.samples = search.samples
            for stage in searches.stage_names(connection, parent):
                for attempt in read_attempts(connection, parent, stage):
                    if attempt.state == TrialState.COMPLETE:
                        originals._found.setdefault(_key(attempt.replicate), attempt)
        return originals

    def find(self, replicate: Replicate) -> Attempt | None:
        """Return the finished trial of the same point and seed, measured on the same split; None if there is none."""
        return self._found.get(_key(replicate))


def _key(replicate: Replicate) -> tuple[bool, Point, int]:
    return replicate.stage == "test", replicate.point, replicate.seed
