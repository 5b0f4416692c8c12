"""The log of a trial: what its process prints and logs, and a line for each epoch. A replicate's attempts share it.

A log is bounded: of one that grows too long, the beginning and the end are kept. Every writer appends, whatever process
it is, so the file can be cut while they write.
"""

from __future__ import annotations

import codecs
import contextlib
import logging
import math
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from search.private_files import open_regular_file
from search.vocabulary.formatting import format_duration

HEAD_BYTES = 8 * 2**20  # kept of the beginning of a log
LOG_BYTES = 2 * HEAD_BYTES  # of a log, which is then cut
TAIL_BYTES = 64 * 2**10  # kept of the end when a log is cut
PART_BYTES = 256 * 2**10  # read at once
CHECK_SECONDS = 0.1  # between looks at the size of a log
STILL_SECONDS = 1.0  # without a look before a trial's time runs out
CUT = f"\n[a log holds at most {LOG_BYTES // 2**20} MB: what was printed here is left out]\n"


class TrialLog:
    """The log of a trial that runs in this process.

    It is opened for each line, since a recipe may close any descriptor and have its number used for another file.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def write(self, line: str) -> None:
        """Append a line of our own, below what was printed without a newline; a full disk fails no trial."""
        with contextlib.suppress(OSError), os.fdopen(os.open(self._file, os.O_RDWR | os.O_APPEND), "r+b", 0) as file:
            size = file.seek(0, os.SEEK_END)
            begun = size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"
            file.write(("\n" * begun + f"{line}\n").encode(errors="backslashreplace"))

    @contextlib.contextmanager
    def bounded(self, timeout: float | None = None) -> Iterator[None]:
        """Cut the log whenever it is too long, until the block ends.

        Args:
            timeout: seconds after which ``faulthandler`` prints the frames of all threads. It crashes if it meets one
                that moves, so the log is not looked at any more from a second before.
        """
        ended = threading.Event()
        until = math.inf if timeout is None else time.monotonic() + timeout - STILL_SECONDS

        def watch() -> None:
            while time.monotonic() < until and not ended.wait(CHECK_SECONDS):
                self.cut()
            ended.wait()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()
            self.cut()

    def cut(self) -> None:
        """Leave out the middle of the log if it is too long."""
        with contextlib.suppress(OSError):
            if self._file.stat().st_size <= LOG_BYTES:
                return
            with self._file.open("r+b") as file:
                file.seek(-TAIL_BYTES, os.SEEK_END)
                tail = file.read(TAIL_BYTES)
                file.truncate(HEAD_BYTES)
            with self._file.open("ab") as file:
                file.write(CUT.encode() + tail)


class EpochLines:
    """Writes a line for each epoch that a trial reports: its metrics, and how long it took."""

    def __init__(self, log: TrialLog) -> None:
        self._log = log
        self.planned: int | None = None  #: epochs of the trial, once its numbers are known
        self._before = time.monotonic()

    def write(self, epoch: int, figures: Mapping[str, float]) -> None:
        """Write the line of an epoch."""
        now = time.monotonic()
        seconds, self._before = now - self._before, now
        seconds = figures.get("seconds", seconds)  # as the recipe measured it
        measured = [f"{name} {figure:.4g}" for name, figure in figures.items() if name != "seconds"]
        self._log.write("  ".join([f"epoch {count_epochs(epoch, self.planned)}", *measured, format_duration(seconds)]))


def count_epochs(epoch: int, planned: int | None) -> str:
    """Format as ``7/30``; as ``7`` if the number of epochs is unknown, or the recipe counts others."""
    return f"{epoch}/{planned}" if planned is not None and epoch <= planned else str(epoch)


def now_utc() -> str:
    """Format the time for a line of a log."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


@contextlib.contextmanager
def show_logging() -> Iterator[None]:
    """Write what the recipe logs, from INFO on, to the trial's stderr, unless it sets up logging itself."""
    root, handler = logging.getLogger(), logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    level, handlers = root.level, root.handlers[:]
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.handlers[:] = handlers  # the recipe may have set its own, which are not for the next trial
        root.setLevel(level)


@dataclass(frozen=True)
class Part:
    """A part of a log."""

    text: str
    after: int  #: where the next part begins
    is_last: bool  #: whether the log ended here when it was read


def read_part(file: Path, after: int = 0) -> Part | None:
    """Read a part of a log from an offset; None if this machine has no such log.

    After a cut, what follows the gap is read next.
    """
    opened = open_regular_file(file)
    if opened is None:
        return None
    with opened:
        size = opened.seek(0, os.SEEK_END)
        after = after if after <= size else min(HEAD_BYTES, size)
        opened.seek(after)
        read = opened.read(PART_BYTES)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    is_last = after + len(read) >= size
    text = decoder.decode(read)
    pending, _ = decoder.getstate()  # the start of a character whose end is not there yet
    return Part(text, after + len(read) - len(pending), is_last)
