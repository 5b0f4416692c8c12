"""Creates a child of a search: with more values or seeds, or to retry failed trials. It reuses finished trials.

A decided stage is never changed, so that its choice always follows from its trials.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationError

from search.actions.ceilings import require_within_ceilings
from search.actions.submit import Submission, prepare
from search.plan.digest import changed_parts
from search.plan.problems import validation_message
from search.plan.request import RequestModel
from search.plan.spec import GroupCount, SearchSpec, Seed
from search.settings import Settings
from search.store import searches, transitions
from search.store.database import Connection
from search.vocabulary.errors import Conflict, InvalidSpec


class Widening(RequestModel):
    """What a child searches in addition to its parent."""

    model_config = ConfigDict(frozen=True)

    gm: list[GroupCount] = Field([], max_length=256, description="more group counts along the mini-batch")
    gc: list[GroupCount] = Field([], max_length=256, description="more group counts along the channels")
    seeds: Annotated[list[Seed], Field(max_length=64)] | Annotated[int, Field(strict=True, ge=0, le=64)] = Field(
        [], description="more replicates of each point; a count n means 0 … n-1"
    )
    test_seeds: int | None = Field(
        None, strict=True, ge=1, le=64, description="number of new seeds for the final measurement, at least as before"
    )


@dataclass(frozen=True)
class ChildSubmission(Submission):
    """A child that is not stored yet. Sources and data are already hashed, so storing it is fast."""

    parent: str = ""

    def store(self, connection: Connection, owner: str = "local") -> str:
        """Store the child, queued; return its id. It reuses what its parent finished.

        Raises:
            Conflict: if the parent is queued or running again, or was resumed with other code or data.
        """
        transitions.lock(connection, self.parent)
        parent = searches.get(connection, self.parent)
        _require_inactive(parent)
        _require_same_digest(parent, self.digest)
        return self._submit(connection, owner, self.parent)


@dataclass(frozen=True)
class Retry:
    """The result of a retry."""

    search_id: str  #: the same search, or its child
    parent: str | None  #: None if it is the same search
    trials: int  #: failed ones


@dataclass(frozen=True)
class PreparedRetry:
    """A retry that is not stored yet."""

    search_id: str
    child: ChildSubmission | None  #: None if no decided stage has failed trials

    def store(self, connection: Connection, owner: str = "local") -> Retry:
        """Rerun the failed trials: in the search itself, or in the child if a decided stage would change.

        Raises:
            Conflict: if the search is queued or running again, or such a stage was decided meanwhile.
        """
        try:
            return Retry(self.search_id, None, searches.retry(connection, self.search_id))
        except searches.StageDecided as decided:
            if self.child is None:
                raise Conflict(
                    f"no stage may be decided while a retry is prepared: got one of {self.search_id} that was decided "
                    "meanwhile. Retry again."
                ) from None
            return Retry(self.child.store(connection, owner), self.search_id, decided.trials)


def parse_widening(fields: dict[str, Any]) -> Widening:
    """Parse the fields of a widening.

    Raises:
        InvalidSpec: with the first problem.
    """
    try:
        return Widening(**fields)
    except ValidationError as error:
        raise InvalidSpec(validation_message(error.errors()[0], Widening)) from None


def prepare_widening(settings: Settings, parent: searches.Search, more: Widening) -> ChildSubmission:
    """Prepare a child with more values or seeds; nothing is written yet.

    Raises:
        InvalidSpec: if nothing is added, or the result cannot be run.
        Conflict: if the parent is queued or running, or was started with other code or data, or is bound to another
            host or user.
    """
    if parent.bound:
        parent.bound.require_here(parent.id, "widen")
    fields = merge_widening(parent.spec, more)
    if fields == parent.spec.model_dump(mode="json"):
        raise InvalidSpec(
            f"a widened search must add values or seeds to {parent.id}: got none. "
            "Give more gm, gc, seeds or test_seeds."
        )
    return _prepare_child(settings, parent, fields)


def merge_widening(spec: SearchSpec, more: Widening) -> dict[str, object]:
    """Return the fields of a search with new values appended; existing values keep their order."""
    seeds = list(range(more.seeds)) if isinstance(more.seeds, int) else more.seeds
    if more.test_seeds is not None and more.test_seeds < spec.test_seeds:
        raise InvalidSpec(
            f"a widened search must not have fewer test seeds: got test_seeds={more.test_seeds}, "
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
    """Prepare to rerun the failed trials of a search; nothing is written yet.

    Raises:
        NotFound: if no search has that id.
        Conflict: if it is queued, running or cancelled, has no failed trial, needs a child that cannot be created, or
            is bound to another host or user.
        InvalidSpec: if it asks for more than the operator allows by now.
    """
    if bound := searches.get(connection, search_id).bound:
        bound.require_here(search_id, "retry")
    try:
        searches.count_retriable(connection, search_id)
    except searches.StageDecided:
        parent = searches.get(connection, search_id)
        return PreparedRetry(search_id, _prepare_child(settings, parent, parent.spec.model_dump(mode="json")))
    search = searches.get(connection, search_id)
    require_within_ceilings(settings, search.spec, search.plan, search.numbers)
    return PreparedRetry(search_id, None)


def _prepare_child(settings: Settings, parent: searches.Search, fields: dict[str, Any]) -> ChildSubmission:
    _require_inactive(parent)
    submission = prepare(settings, fields, parent.command)
    _require_same_digest(parent, submission.digest)
    return ChildSubmission(**vars(submission), parent=parent.id)


def _require_inactive(parent: searches.Search) -> None:
    if parent.status.active:
        raise Conflict(
            f"a search must not be queued or running to get a child: got {parent.id}, which is {parent.status}. "
            f"Wait for its end, or pause it: seqnorm pause {parent.id}"
        )


def _require_same_digest(parent: searches.Search, digest: dict[str, str]) -> None:
    if changed := changed_parts(parent.digest, digest):
        raise Conflict(
            f"trials can only be reused with unchanged code and data: got another {', '.join(changed)} than "
            f"{parent.id} began with. Restore it, or submit a new search."
        )
