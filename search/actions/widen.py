"""A child of a search: the same with more values or seeds, or once more what failed. It reuses what is finished.

A search with a decided stage is not changed, so that its choice stays the one that its trials led to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from search.actions.submit import Submission, prepare
from search.plan.digest import changed_parts
from search.plan.spec import GroupCount, SearchSpec, Seed, validation_message
from search.settings import Settings
from search.store import searches
from search.store.database import Connection
from search.vocabulary.errors import Conflict, InvalidSpec


class Widening(BaseModel):
    """What a child searches beside what its parent did."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gm: list[GroupCount] = Field([], max_length=256, description="more group counts along the mini-batch")
    gc: list[GroupCount] = Field([], max_length=256, description="more group counts along the channels")
    seeds: list[Seed] | Seed = Field([], description="more replicates of each point; a count n means 0 … n-1")
    test_seeds: int | None = Field(
        None, strict=True, ge=1, le=64, description="fresh seeds of the final measurement, as many as before or more"
    )


@dataclass(frozen=True)
class ChildSubmission(Submission):
    """A child that is not stored yet. Sources and data are hashed already, so storing it is quick."""

    parent: str

    def store(self, connection: Connection, owner: str = "local") -> str:
        """Store the child, queued; return its id. It reuses what its parent finished.

        Raises:
            Conflict: if the parent waits or runs by now, or goes on with another code or other data.
        """
        parent = searches.get(connection, self.parent, for_update=True)
        _require_inactive(parent)
        _require_same_digest(parent, self.digest)
        return self._submit(connection, owner, self.parent)


@dataclass(frozen=True)
class Retry:
    """What runs again, and where."""

    search_id: str  #: the same search, or its child
    parent: str | None  #: None if it is the same search
    trials: int  #: failed ones


@dataclass(frozen=True)
class PreparedRetry:
    """Another try that is not stored yet."""

    search_id: str
    child: ChildSubmission | None  #: where a decided stage has failed trials

    def store(self, connection: Connection, owner: str = "local") -> Retry:
        """Have the failed trials run again: in the search, or in the child where a decided stage would change.

        Raises:
            Conflict: if the search waits or runs by now, or such a stage has been decided since.
        """
        try:
            return Retry(self.search_id, None, searches.retry(connection, self.search_id))
        except searches.StageDecided as decided:
            if self.child is None:
                raise Conflict(
                    f"the stages of {self.search_id} must be as they were when the retry was asked for: got one that "
                    "was decided meanwhile. Ask again."
                ) from None
            return Retry(self.child.store(connection, owner), self.search_id, decided.trials)


def parse_widening(fields: dict[str, Any]) -> Widening:
    """Read what somebody wants more of.

    Raises:
        InvalidSpec: with the first thing that is wrong.
    """
    try:
        return Widening(**fields)
    except ValidationError as error:
        raise InvalidSpec(validation_message(error.errors()[0], Widening)) from None


def prepare_widening(settings: Settings, parent: searches.Search, more: Widening) -> ChildSubmission:
    """Plan a child with more values or seeds.

    Raises:
        InvalidSpec: if nothing is added, or what is cannot be run.
        Conflict: if the parent waits or runs, or began with another code or other data than there is now.
    """
    fields = merge_widening(parent.spec, more)
    if fields == parent.spec.model_dump(mode="json"):
        raise InvalidSpec(
            f"a wider search has values or seeds that {parent.id} has not: got none. "
            "Give more gm, gc, seeds or test_seeds."
        )
    return _prepare_child(settings, parent, fields)


def merge_widening(spec: SearchSpec, more: Widening) -> dict[str, object]:
    """Return the fields of a search with what is added; what it has already stays where it is."""
    seeds = list(range(more.seeds)) if isinstance(more.seeds, int) else more.seeds
    if more.test_seeds is not None and more.test_seeds < spec.test_seeds:
        raise InvalidSpec(
            f"a wider search measures with as many fresh seeds or more: got test_seeds={more.test_seeds}, "
            f"which were {spec.test_seeds}. Leave it out."
        )
    return {
        **spec.model_dump(mode="json"),
        "gm": list(dict.fromkeys([*spec.gm, *more.gm])),
        "gc": list(dict.fromkeys([*spec.gc, *more.gc])),
        "seeds": list(dict.fromkeys([*spec.seeds, *seeds])),
        "test_seeds": more.test_seeds or spec.test_seeds,
    }


def prepare_retry(settings: Settings, connection: Connection, search_id: str) -> PreparedRetry:
    """Plan to have the failed trials of a search run again; nothing is written yet.

    Raises:
        NotFound: if no search has that id.
        Conflict: if it waits, runs or is cancelled, has no failed trial, or would need a child that cannot be.
    """
    try:
        searches.count_retriable(connection, search_id)
    except searches.StageDecided:
        parent = searches.get(connection, search_id)
        return PreparedRetry(search_id, _prepare_child(settings, parent, parent.spec.model_dump(mode="json")))
    return PreparedRetry(search_id, None)


def _prepare_child(settings: Settings, parent: searches.Search, fields: dict[str, Any]) -> ChildSubmission:
    _require_inactive(parent)
    submission = prepare(settings, fields)
    _require_same_digest(parent, submission.digest)
    return ChildSubmission(submission.spec, submission.plan, submission.digest, submission.numbers, parent.id)


def _require_inactive(parent: searches.Search) -> None:
    if parent.status.active:
        raise Conflict(
            f"only a search that neither waits nor runs has children: got {parent.id}, which is {parent.status}. "
            f"Wait for its end, or pause it: seqnorm pause {parent.id}"
        )


def _require_same_digest(parent: searches.Search, digest: dict[str, str]) -> None:
    if changed := changed_parts(parent.digest, digest):
        raise Conflict(
            f"trials are reused under what they were trained with: got another {', '.join(changed)} than {parent.id} "
            "began with. Go back to it, or submit a new search."
        )
