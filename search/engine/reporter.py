"""What a recipe reports to: checks metrics, collects them, sends them to the driver, and ends a trial that must end."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

from search.engine.failures import TimeLimit
from search.engine.figures import InvalidFigure, check_report

REPORT_SECONDS = 0.5  # at least, between messages: each costs the driver a transaction
POLL_SECONDS = 1.0  # at least, between messages of a recipe that only waits
MESSAGE_EPOCHS = 1000  # at most, of a message: the driver stores it in one short transaction

Send = Callable[[dict[str, Any]], None]
Write = Callable[[int, dict[str, float]], None]  # of an epoch and its metrics, to the log


class Reporter:
    """Sends metrics at most every ``REPORT_SECONDS``; a recipe that reports faster than that waits.

    The driver sees one message of a trial at a time, since ``send`` returns when the driver has handled it. So neither
    side collects more than ``MESSAGE_EPOCHS`` epochs. The first report of an epoch stands, as in Optuna.

    Args:
        send: sends a message to the driver; raises to end the trial.
        where: the trial runs.
        write: writes the metrics of an epoch to the log.
        timeout: seconds after which :meth:`poll` ends the trial.
    """

    def __init__(
        self,
        send: Send,
        where: dict[str, Any],
        write: Write = lambda epoch, figures: None,
        timeout: float | None = None,
    ) -> None:
        self._send = send
        self._write = write
        self._where: dict[str, Any] | None = where  # sent once
        self._gathered: dict[int, dict[str, float]] = {}
        self._sent_at = time.monotonic()
        self._timeout = timeout
        self._ends_at = math.inf if timeout is None else self._sent_at + timeout
        self._lock = threading.Lock()  # recipes may report from several threads
        self._ended = False
        self.refused: InvalidFigure | None = None  #: the first report that was refused: fails the trial
        self.stopped: BaseException | None = None  #: raised by ``send``, e.g. by Tune to end the trial's thread

    def __call__(self, *positional: Any, epoch: Any = None, **metrics: Any) -> None:
        """Report the metrics of an epoch.

        Raises:
            InvalidFigure: if they are no numbers.
            SystemExit: if the trial has ended; its threads may outlive it.
        """
        self._check_running()
        try:
            number, figures = check_report(positional, epoch, metrics)
        except InvalidFigure as refused:
            if self.refused is None:
                self.refused = refused
            raise
        with self._lock:
            self._check_running()
            self._write(number, figures)
            self._gathered.setdefault(number, figures)
            seconds_left = self._sent_at + REPORT_SECONDS - time.monotonic()
            if seconds_left <= 0 or len(self._gathered) >= MESSAGE_EPOCHS:
                time.sleep(max(0.0, seconds_left))
                self._send_gathered(None)

    def poll(self) -> None:
        """Ask whether the trial goes on; a recipe that waits for something else calls this about once a second.

        Raises:
            TimeLimit: if it has taken too long.
            SystemExit: if the trial has ended.
        """
        with self._lock:
            self._check_running()
            if time.monotonic() >= self._ends_at:
                raise TimeLimit(f"no end after {self._timeout:g} s; the log shows where it was")
            if time.monotonic() - self._sent_at >= POLL_SECONDS:
                self._send_gathered(None)

    def end(self, outcome: dict[str, Any]) -> None:
        """Send the remaining metrics and the outcome; later reports are refused."""
        with self._lock:
            self._ended = True
            self._send_gathered(outcome)

    def _send_gathered(self, outcome: dict[str, Any] | None) -> None:
        gathered, self._gathered = self._gathered, {}
        where, self._where = self._where, None
        try:
            self._send({"where": where, "epochs": gathered, "outcome": outcome})
        except BaseException as stop:
            self.stopped = stop
            raise
        self._sent_at = time.monotonic()

    def _check_running(self) -> None:
        if self._ended or self.stopped is not None:  # Tune raises only once, and recipes may catch everything
            raise SystemExit(0)
