"""Reads the log of a trial in parts, for the command line and for REST."""

from __future__ import annotations

from search.engine.trial_log import read_part
from search.settings import Settings
from search.views import LogPart, TrialRow
from search.vocabulary.states import TrialState


def read_log(settings: Settings, search_id: str, trial: TrialRow, after: int = 0) -> LogPart:
    """Return the part of a trial's log that begins at ``after``. The trial must have been read before."""
    part = read_part(settings.trial_log(search_id, trial.key), after)
    over = trial.state != TrialState.RUNNING
    if part is None:
        return LogPart(text="", after=after, found=False, ended=over)
    return LogPart(text=part.text, after=part.after, found=True, ended=over and part.is_last)
