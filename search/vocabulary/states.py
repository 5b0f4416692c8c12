"""The closed sets of the program, each defined here alone: what a search is, what a trial is, what can be done."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """What a search is."""

    QUEUED = "queued"  #: waits for a worker
    RUNNING = "running"  #: a driver holds it, or held it until it was lost
    PAUSED = "paused"  #: can be resumed
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def active(self) -> bool:
        """Whether the search waits or runs."""
        return self in ACTIVE

    @property
    def ended(self) -> bool:
        """Whether the search cannot be resumed."""
        return self in ENDED


ACTIVE = (Status.QUEUED, Status.RUNNING)
ENDED = (Status.DONE, Status.FAILED, Status.CANCELLED)


class TrialState(StrEnum):
    """What a trial is, in Optuna's words."""

    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    FAIL = "FAIL"
    PRUNED = "PRUNED"
    WAITING = "WAITING"


class Cause(StrEnum):
    """Why a trial ended, for a person."""

    FINISHED = "finished"
    DIVERGED = "diverged"  #: the loss is not finite, or the accuracy is at chance
    RAISED = "raised"  #: the recipe raised an exception; the end of its traceback is kept
    OUT_OF_MEMORY = "out_of_memory"  #: the trial exceeded its memory
    TIMEOUT = "timeout"  #: the trial took longer than trial_timeout
    LOST = "lost"  #: its process, node or driver was lost; it runs again
    CRASH_LOOP = "crash_loop"  #: its process died three times
    CANCELLED = "cancelled"  #: somebody stopped the search; it runs again if the search is resumed

    @property
    def runs_again(self) -> bool:
        """Whether the replicate runs again, as a new trial."""
        return self in RUNS_AGAIN


RUNS_AGAIN = (Cause.LOST, Cause.CANCELLED)


class Action(StrEnum):
    """What a person does, as the audit trail records it."""

    SUBMIT = "submit"
    DESCRIBE = "describe"
    ARCHIVE = "archive"
    PAUSE = "pause"
    CANCEL = "cancel"
    RESUME = "resume"
    RETRY = "retry"
    WIDEN = "widen"
    LOG_IN = "login"
    CREATE_TOKEN = "create token"  # noqa: S105
    REVOKE_TOKEN = "revoke token"  # noqa: S105


class EventKind(StrEnum):
    """What happens to a search, as its events tell it."""

    SUBMITTED = "submitted"
    DESCRIBED = "described"  #: its name, tags or note changed
    ARCHIVED = "archived"
    REQUESTED = "requested"  #: somebody asked for a status, which the driver has yet to reach
    STATUS = "status"
    CHANGE_ACCEPTED = "change accepted"  #: it goes on with another code or other data
    RETRY = "retry"
    CHILD = "child"  #: a search that reuses its trials was submitted
    SLOTS = "slots"  #: how many trials run at once, or why none starts
    CLUSTER = "cluster"  #: a node came or went
    OPENED = "opened"  #: a stage began
    REUSED = "reused"  #: trials of the parent were linked
    TRIAL = "trial"  #: a trial started or ended
    DECIDED = "decided"  #: a stage made its choice
