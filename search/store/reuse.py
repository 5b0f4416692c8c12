"""Finds finished trials that stand for the same point and seed: those of a parent, and of earlier stages."""

from __future__ import annotations

from dataclasses import dataclass

from search.plan.digest import changed_parts
from search.plan.selection import Point
from search.plan.stages import Replicate
from search.store import searches
from search.store.attempts import read_attempts
from search.store.database import Connection
from search.vocabulary.states import TrialState
from trainers.trial import Measure


@dataclass(frozen=True, kw_only=True)
class Original:
    """A finished trial that another one can be a copy of."""

    search_id: str
    replicate: Replicate
    trial_id: int
    value: float | None

    @property
    def source(self) -> str:
        """The search and the stage that trained it."""
        return f"{self.search_id}/{self.replicate.stage}"


class ReusableTrials:
    """Finished trials by point, seed and measured split; the first of them stands for all."""

    def __init__(self) -> None:
        self.samples: dict[Measure, int] = {}  #: that a parent's accuracies were measured on, by split
        self._found: dict[tuple[bool, Point, int], Original] = {}

    @classmethod
    def read(cls, connection: Connection, parent: str, digest: dict[str, str]) -> ReusableTrials:
        """Read the trials of a parent; none if its code, numbers or data differ."""
        originals = cls()
        search = searches.get(connection, parent)
        if not changed_parts(search.digest, digest):
            originals.samples = search.samples
            for stage in searches.stage_names(connection, parent):
                for attempt in read_attempts(connection, parent, stage):
                    if attempt.state == TrialState.COMPLETE:
                        originals.add(parent, attempt.replicate, attempt.trial_id, attempt.value)
        return originals

    def add(self, search_id: str, replicate: Replicate, trial_id: int, value: float | None) -> None:
        """Add a finished trial, unless there is one for its point, seed and split."""
        original = Original(search_id=search_id, replicate=replicate, trial_id=trial_id, value=value)
        self._found.setdefault(_key(replicate), original)

    def find(self, replicate: Replicate) -> Original | None:
        """Return the finished trial of the same point and seed, measured on the same split; None if there is none."""
        return self._found.get(_key(replicate))


def _key(replicate: Replicate) -> tuple[bool, Point, int]:
    return replicate.stage == "test", replicate.point, replicate.seed
