"""``logs``: print the logs of trials, and follow those that run."""

from __future__ import annotations

import re
import sys
import time

from search.cli.advice import localize
from search.cli.backends import Backend, make_backend
from search.cli.exit_codes import EXIT_OK
from search.cli.interruption import Interruption
from search.cli.output import print_json, print_stderr
from search.plan.stages import STAGE_NAME
from search.settings import Settings
from search.views import SearchView, TrialRow
from search.vocabulary.errors import InvalidSpec
from search.vocabulary.formatting import show_controls
from search.vocabulary.states import TrialState

FOLLOW_SECONDS = 1.0  # between looks for more
NEW_TRIALS = 50  # taken up at once
STARTING_LOOKS = 3  # before a log is missed that is followed: a trial that has just started has none yet


def print_logs(
    settings: Settings, search_id: str, trial: str | None, follow: bool, program: str, json: bool = False
) -> int:
    """Print the log of a trial; without one, of the trials that run, or else of the newest. Return the exit code.

    With ``json``, each line is an object with ``trial`` and ``text``.

    Raises:
        NotFound: if there is no such search or trial.
        InvalidSpec: if the trial is not given as STAGE/NUMBER.
    """
    backend = make_backend(settings)
    with Interruption(at_once=True) as interruption:
        try:
            if trial is not None:
                _print_one(LogReader(backend, search_id, *parse_trial(trial), follow=follow, json=json))
            else:
                _print_running(backend, search_id, follow, program, json)
        except KeyboardInterrupt:
            return interruption.exit_code
    return EXIT_OK


def parse_trial(text: str) -> tuple[str, int]:
    """Parse ``STAGE/NUMBER``, as pages and exports name trials.

    Raises:
        InvalidSpec: if it is something else.
    """
    stage, _, number = text.partition("/")
    if not re.match(STAGE_NAME, stage) or not re.fullmatch("[0-9]{1,9}", number):
        raise InvalidSpec(f"TRIAL must be STAGE/NUMBER: got {text!r}. Give e.g. gm/0, as pages and exports name it.")
    return stage, int(number)


class LogReader:
    """Reads the log of a trial, part by part, and prints its lines."""

    def __init__(
        self,
        backend: Backend,
        search_id: str,
        stage: str,
        number: int,
        *,
        follow: bool,
        json: bool,
        named: bool = False,
    ) -> None:
        self._backend = backend
        self._search_id = search_id
        self._stage = stage
        self._number = number
        self._json = json
        self._prefix = f"{self.trial} | " if named else ""
        self._after = 0
        self._line = ""  # whose end is not there yet
        self._looks_left = STARTING_LOOKS if follow else 1  # before the log is missed
        self.follow = follow
        self.ended = False  #: whether the trial has ended and all of its log is printed

    @property
    def trial(self) -> str:
        """The trial as users name it."""
        return f"{self._stage}/{self._number}"

    def print_more(self) -> None:
        """Print what there is by now; say once that another machine has the log."""
        while True:
            part = self._backend.log_part(self._search_id, self._stage, self._number, self._after)
            moved, self._after, self.ended = part.after != self._after, part.after, part.ended
            self._print(part.text)
            if self.ended or not moved:
                break
        if not part.found and self._looks_left > 0:
            self._looks_left = 0 if self.ended else self._looks_left - 1
            if not self._looks_left:
                print_stderr(f"This machine has no log of {self.trial}; it is where the trial trains.")

    def _print(self, text: str) -> None:
        *lines, self._line = (self._line + text.replace("\r\n", "\n").replace("\r", "\n")).split("\n")
        if self.ended and self._line:
            lines, self._line = [*lines, self._line], ""
        for line in lines:
            if self._json:
                print_json({"trial": self.trial, "text": line})
            else:
                print(f"{self._prefix}{show_controls(line)}")
        sys.stdout.flush()


def _print_one(reader: LogReader) -> None:
    reader.print_more()
    while reader.follow and not reader.ended:
        time.sleep(FOLLOW_SECONDS)
        reader.print_more()


def _print_running(backend: Backend, search_id: str, follow: bool, program: str, json: bool) -> None:
    """Print the logs of the trials that run, and with ``follow`` of those that start, until the search stops."""

    def read(row: TrialRow, named: bool = True) -> LogReader:
        return LogReader(backend, search_id, row.stage, row.number, follow=follow, json=json, named=named)

    newest = next(iter(backend.trials(search_id, sort="-started", limit=1)), None)
    running = backend.trials(search_id, state=TrialState.RUNNING, limit=NEW_TRIALS)
    if newest is None and not follow:
        print_stderr(f"No trial of {search_id} has started.")
    elif not follow and not running:
        assert newest is not None
        _print_one(read(newest, named=False))
        return
    readers = [read(row) for row in running]
    last = newest.trial_id if newest else 0
    said = ""
    while True:
        shown = backend.show(search_id)
        for reader in readers:
            reader.print_more()
        readers = [reader for reader in readers if not reader.ended]
        started = backend.trials(search_id, after=last, limit=NEW_TRIALS) if follow else []
        readers += [read(row) for row in started]
        if not follow or (not shown.status.active and not readers):
            return
        if not readers and (reason := _why_none_runs(shown)) != said:
            said = reason
            print_stderr(localize(reason, program))
        last = started[-1].trial_id if started else last
        if not started:
            time.sleep(FOLLOW_SECONDS)


def _why_none_runs(shown: SearchView) -> str:
    reason = f": {shown.reason}" if shown.reason else ""
    return f"{shown.search} is {shown.status}{reason}; none of its trials is running …"
