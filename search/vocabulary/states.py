"""Enums: statuses of searches, states of trials, causes, actions and event kinds."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """The status of a search."""

    QUEUED = "queued"  #: waits for a worker
    RUNNING = "running"  #: a driver holds its lease, or held it until the driver was lost
    PAUSED = "paused"  #: can be resumed
    DONE = "done"
    FAILED = "failed"  #: can be resumed, once its cause is fixed
    CANCELLED = "cancelled"

    @property
    def active(self) -> bool:
        """Whether the search is queued or running."""
        return self in ACTIVE

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to the search unless a person acts; a paused one is only interrupted."""
        return self in ENDED


ACTIVE = (Status.QUEUED, Status.RUNNING)
ENDED = (Status.DONE, Status.FAILED, Status.CANCELLED)


class TrialState(StrEnum):
    """The state of a trial, as in Optuna."""

    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    FAIL = "FAIL"
    PRUNED = "PRUNED"
    WAITING = "WAITING"


class Cause(StrEnum):
    """Why a trial ended."""

    FINISHED = "finished"
    DIVERGED = "diverged"  #: the loss is not finite, or the accuracy is at chance
    RAISED = "raised"  #: the recipe raised an exception; the end of its traceback is kept
    REFUSED = "refused"  #: the layers refuse the point's group counts, whatever the seed; its other seeds end likewise
    OUT_OF_MEMORY = "out_of_memory"  #: the trial exceeded its memory
    TIMEOUT = "timeout"  #: the trial took longer than trial_timeout
    LOST = "lost"  #: its process, node or driver was lost; it runs again
    CRASH_LOOP = "crash_loop"  #: its process died three times
    CANCELLED = "cancelled"  #: the search was stopped; it runs again if the search is resumed

    @property
    def runs_again(self) -> bool:
        """Whether the replicate runs again, as a new trial."""
        return self in RUNS_AGAIN


RUNS_AGAIN = (Cause.LOST, Cause.CANCELLED)


class Action(StrEnum):
    """What a user did, as recorded in the audit log."""

    SUBMIT = "submit"
    DESCRIBE = "describe"
    ARCHIVE = "archive"
    PAUSE = "pause"
    CANCEL = "cancel"
    RESUME = "resume"
    RETRY = "retry"
    WIDEN = "widen"
    UPLOAD = "upload"
    LOG_IN = "login"
    CREATE_TOKEN = "create token"  # noqa: S105  # nosec B105  # a name
    REVOKE_TOKEN = "revoke token"  # noqa: S105  # nosec B105  # a name


class EventKind(StrEnum):
    """The kind of an event of a search."""

    SUBMITTED = "submitted"
    DESCRIBED = "described"  #: its name, tags or note changed
    ARCHIVED = "archived"
    REQUESTED = "requested"  #: somebody requested a status that the driver has not reached yet
    STATUS = "status"
    CHANGE_ACCEPTED = "change accepted"  #: resumed with other code or data
    RETRY = "retry"
    CHILD = "child"  #: a search that reuses its trials was submitted
    SLOTS = "slots"  #: the number of parallel trials, or why none starts
    CLUSTER = "cluster"  #: a node joined or left
    OPENED = "opened"  #: a stage started
    REUSED = "reused"  #: trials of the parent were linked
    TRIAL = "trial"  #: a trial started or ended
    PROGRESS = "progress"  #: running trials have finished epochs; replaces the event of this kind before it
    DECIDED = "decided"  #: a stage made its choice
