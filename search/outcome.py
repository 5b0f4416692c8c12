"""How a trial ended, in words that the store, the pages and the command line share."""

from __future__ import annotations

from dataclasses import dataclass

CAUSES = {
    "diverged": "the loss is not finite, or the accuracy is at chance",
    "raised": "the recipe raised an exception; the end of its traceback is kept",
    "out_of_memory": "the trial exceeded its memory",
    "timeout": "the trial took longer than trial_timeout",
    "lost": "its process, node or driver was lost; it runs again",
    "crash_loop": "its process died three times",
    "cancelled": "somebody stopped the search; it runs again if the search is resumed",
}

RUNS_AGAIN = ("lost", "cancelled")  #: causes after which a replicate runs again, as a new trial


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The end of a trial: a value, or the cause of its failure."""

    value: float | None = None  #: the metric, if it finished
    cause: str | None = None  #: one of CAUSES, if it did not
    detail: str = ""  #: for a person: the reason, or the end of a traceback


def last_line(detail: str) -> str:
    """Return the end of a traceback, or of what else is known."""
    return (detail.strip().splitlines() or [""])[-1][:500]
