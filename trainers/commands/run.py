"""Runs a command as a trial: fills in its placeholders, follows what it reports and prints, and finds the metric.

A report counts before the metric file, and the metric file before the output. Whatever the program prints is read at
once, so that it never waits for the search; epochs that come faster than the search takes them are left out.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

from trainers.commands.command import Command
from trainers.commands.endings import (
    explain_ambiguous,
    explain_folder,
    explain_no_metric,
    explain_start,
    explain_unread,
    fail,
    find_refusal,
    with_last_lines,
)
from trainers.commands.epochs import MAX_EPOCHS, Epochs, Record
from trainers.commands.metric_file import MetricFile, NoMetric
from trainers.commands.output import MetricReader
from trainers.commands.placeholders import fill
from trainers.commands.program import Ending, Program
from trainers.commands.reports import ReportsFile
from trainers.trial import InvalidPoint, Params, ProgramFailed, Report, Result

LOCK_FILE, REPORTS_FILE = ".seqnorm.lock", ".seqnorm.reports"  # in the folder of the trial
SAMPLES = "samples"  # name of the figure that says how many samples an accuracy was measured on
MAX_SAMPLES = 2**31 - 1
LOOK_SECONDS = 0.25  # between looks at what was reported
POLL_SECONDS = 1.0


class Source(StrEnum):
    """Where the metric was found."""

    REPORTS = "its reports"
    FILE = "the metric file"
    OUTPUT = "its output"


def load(numbers: Any, data: str | None, home: Path) -> None:
    """Load nothing: a command reads its data itself."""


def run(params: Params, report: Report) -> Result:
    """Run the command of ``params`` to its end; whatever ``report`` or ``poll`` raise ends it and all its processes.

    Raises:
        InvalidPoint: if the layers refused gm or gc.
        ProgramFailed: if the program did not start, ended badly, or gave no metric.
    """
    with _folder_of(params) as folder:
        trial = CommandTrial(params, folder)
        trial.follow(report)
        return Result(value=trial.value(), samples=trial.samples)


@contextlib.contextmanager
def _folder_of(params: Params) -> Iterator[Path]:
    """Yield the folder of the trial, made if it is not there; a temporary one for a trial without."""
    with contextlib.ExitStack() as stack:
        folder = params.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trial-")))
        folder.mkdir(parents=True, exist_ok=True)
        yield folder.absolute()


class CommandTrial:
    """One run of a command.

    Args:
        params: of the trial.
        folder: kept across its attempts.
        log: descriptor that gets what the program prints; by default stdout, which is the log in a trial's process.
    """

    def __init__(self, params: Params, folder: Path, log: int = 1) -> None:
        assert params.command
        self._params = params
        self._command: Command = params.command
        self._folder = folder
        self._log = log
        self._reads_test_metric = params.measure == "test" and self._command.test_metric is not None
        self._metric = (self._reads_test_metric and self._command.test_metric) or self._command.metric
        numbers = {} if params.numbers is None else dataclasses.asdict(params.numbers)
        placeholders = {
            **numbers,
            **{"gm": params.gm, "gc": params.gc, "seed": params.seed, "split": params.measure, "folder": folder},
        }
        self._words = [fill(word, placeholders) for word in self._command.words]
        self.ending: Ending | None = None  #: of the program, once it has ended
        self.source: Source | None = None  #: of the metric, once it is found
        self._is_alone = False  # whether the attempt before has ended
        self._epochs = Epochs()
        self._printed: deque[Record] = deque(maxlen=MAX_EPOCHS)  # by the thread that reads the output
        self.reports = ReportsFile(folder / REPORTS_FILE)
        self.output = MetricReader(self._metric, self._command.pattern)
        self.file: MetricFile | None = None
        if self._command.metric_file is not None:
            path = Path(self._command.folder, fill(self._command.metric_file, placeholders))
            self.file = MetricFile(path, self._metric)

    def follow(self, report: Report) -> None:
        """Run the program, report its epochs, and return when it has ended.

        Raises:
            ProgramFailed: if it did not start, or the trial's folder cannot be written.
        """
        folder = Path(self._command.folder)
        if not folder.is_dir():
            raise ProgramFailed(
                f"the folder that the program runs in must be there: got {folder} on {os.uname().nodename}. "
                "Create it, or submit the search from another one."
            )
        lock = self._folder / LOCK_FILE
        with Program(
            self._words,
            folder=folder,
            environ=self._environment(),
            lock=lock,
            consume=self._consume,
            prepare=self._prepare,
        ) as program:
            polled = time.monotonic()
            while not program.wait(LOOK_SECONDS):
                is_due = time.monotonic() - polled >= POLL_SECONDS
                self._forward(report, look_at_file=is_due)
                if is_due and self._params.poll:
                    self._params.poll()
                if is_due:
                    polled = time.monotonic()
        assert program.ending
        self.ending = program.ending
        if program.ending.lock_error is not None:
            raise ProgramFailed(explain_folder(self._folder, program.ending.lock_error))
        if (problem := explain_start(program.ending, self._words)) is not None:
            raise ProgramFailed(problem)
        self._printed.extend(self.output.finish())
        while self._forward(report):
            pass
        self._report(report, self.reports.finish())
        for epoch, figures in self._epochs.finish():
            report(epoch=epoch, **figures)
        self._note(program.ending)

    def value(self) -> float:
        """Return the metric, once the program has ended.

        Raises:
            InvalidPoint: if the layers refused gm or gc.
            ProgramFailed: if the program ended badly, or gave no metric.
        """
        assert self.ending
        tail = self.output.tail
        if self.reports.refused is not None:
            raise InvalidPoint(self.reports.refused)
        if self.ending.exit_code == 0 and (value := self._found_value(tail)) is not None:
            return value
        if (refusal := find_refusal(tail)) is not None:
            raise InvalidPoint(refusal)
        if self.ending.exit_code != 0:
            raise fail(self.ending, tail, self._words)
        sentence = explain_no_metric(self._metric, self._command.pattern, self.reports.values, tail)
        raise ProgramFailed(with_last_lines(sentence, tail))

    @property
    def samples(self) -> int | None:
        """The number of samples that an accuracy was measured on, if the program reported one."""
        reported = self.reports.values.get(SAMPLES)
        is_count = reported is not None and reported.is_integer() and 0 < reported <= MAX_SAMPLES
        return int(reported) if reported is not None and is_count else None

    def _found_value(self, tail: str) -> float | None:
        self.source = Source.REPORTS
        if self.reports.result is not None and not self._reads_test_metric:
            return self.reports.result
        if self._metric in self.reports.values:
            return self.reports.values[self._metric]
        self.source = Source.OUTPUT
        if self.file is None:
            if self.output.ambiguous:
                raise ProgramFailed(with_last_lines(explain_ambiguous(self._metric, self.output.ambiguous), tail))
            if self.output.unread is not None:
                raise ProgramFailed(with_last_lines(explain_unread(self._metric, self.output.unread), tail))
            return self.output.value
        self.source = Source.FILE
        try:
            return self.file.value()
        except NoMetric as problem:
            sentence = f"the program ended with exit code 0, but without the metric {self._metric}: {problem}."
            raise ProgramFailed(with_last_lines(sentence, tail)) from None

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PWD": self._command.folder,
            "PYTHONUNBUFFERED": "1",
            "SEQNORM_GM": str(self._params.gm),
            "SEQNORM_GC": str(self._params.gc),
            "SEQNORM_SEED": str(self._params.seed),
            "SEQNORM_SPLIT": self._params.measure,
            "SEQNORM_FOLDER": str(self._folder),
            "SEQNORM_REPORTS": str(self.reports.path),
        }

    def _prepare(self) -> None:
        """Forget what the attempt before has left, now that it has ended."""
        self._is_alone = True
        try:
            self.reports.start()
        except OSError as error:
            raise ProgramFailed(explain_folder(self._folder, error.errno or 0)) from None
        if self.file:
            self.file.start()

    def _consume(self, printed: bytes) -> None:
        """Write what the program printed to the log, and look for the metric."""
        self._write(printed)
        self._printed.extend(self.output.feed(printed))

    def _forward(self, report: Report, look_at_file: bool = True) -> bool:
        """Report the epochs that have ended; return whether there may be more."""
        if not self._is_alone:
            return False
        records = self.reports.read()
        if not self.reports.count and self.file:
            records = self.file.read_added() if look_at_file else []
        elif not self.reports.count:
            records = [self._printed.popleft() for _ in range(len(self._printed))]
        self._report(report, records)
        return bool(records)

    def _report(self, report: Report, records: Iterable[Record]) -> None:
        for record in records:
            for epoch, figures in self._epochs.add(record):
                report(epoch=epoch, **figures)

    def _note(self, ending: Ending) -> None:
        """Write to the log what a person may wonder about."""
        if self._epochs.left_out:
            self._write(f"[{self._epochs.left_out} epochs after the first {MAX_EPOCHS} are not shown]\n".encode())
        if self.reports.malformed:
            self._write(f"[{self.reports.malformed} lines in {self.reports.path} are no reports]\n".encode())
        if ending.left:
            self._write(f"[ended {ending.left} processes that the program had left behind]\n".encode())

    def _write(self, printed: bytes) -> None:
        """Write to the log; a full disk fails no trial."""
        view = memoryview(printed)
        with contextlib.suppress(OSError):
            while view:
                view = view[os.write(self._log, view) :]
