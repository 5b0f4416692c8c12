"""A program that runs for a trial: started under its supervisor, read from, and ended with all that it has started."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from trainers.commands import supervisor

READ_BYTES = 256 * 1024
TERM_SECONDS = 3.0  # between SIGTERM and SIGKILL
STOP_SECONDS = supervisor.KILL_SECONDS + 5.0  # after that, until the supervisor itself is given up
DRAIN_SECONDS = 1.0  # for output of processes that are not ours to end


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a program ended."""

    exit_code: int | None = None
    signal: int | None = None
    error: int | None = None  #: the error number of a program that could not be started
    held_by: str | None = None  #: the supervisor of another attempt, which kept the lock
    lock_error: int | None = None  #: the error number of a lock that could not be opened
    left: int = 0  #: processes that the program had left behind


class Program:
    """A running program; leaving the block ends it, with everything that it has started.

    Args:
        words: the program and its arguments.
        folder: where it runs.
        environ: its environment variables.
        lock: a file that is locked while it runs, so that two attempts of a trial do not meet.
        consume: receives what it prints, in a thread of its own.
        prepare: called once it is alone, just before it starts.
    """

    def __init__(
        self,
        words: Sequence[str],
        *,
        folder: Path,
        environ: Mapping[str, str],
        lock: Path,
        consume: Callable[[bytes], None],
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        self.ending: Ending | None = None  #: None as long as it runs
        self.left = 0  #: processes that it had left behind
        self._consume = consume
        self._prepare = prepare
        self._said = b""
        self._group: int | None = None  # of the program's processes, if they do not leave it
        self._drained = threading.Event()
        self._output, output = os.pipe()
        start = (sys.executable, "-S", "-E", "-s", "-P", supervisor.__file__)  # without site-packages: 15 ms
        try:
            self._supervisor = subprocess.Popen(
                [*start, str(lock), str(output), str(TERM_SECONDS), *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                cwd=folder,
                env=environ,
                pass_fds=(output,),
                start_new_session=True,
            )
        except BaseException:
            os.close(self._output)
            raise
        finally:
            os.close(output)
        self._reader = threading.Thread(target=self._read_output, name="output of a program", daemon=True)
        self._reader.start()

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def wait(self, seconds: float) -> bool:
        """Wait until the program has ended and what it has printed is read, but not longer; return whether it has."""
        assert self._supervisor.stdout
        if self.ending is None and select.select([self._supervisor.stdout], [], [], seconds)[0]:
            self._listen(self._supervisor.stdout.read(4096) or b"")
        if self.ending is not None:
            self.stop()
        return self.ending is not None

    def stop(self) -> None:
        """End the program and everything that it has started."""
        assert self._supervisor.stdin
        assert self._supervisor.stdout
        self._supervisor.stdin.close()
        self._supervisor.send_signal(signal.SIGCONT)  # somebody may have stopped it
        try:
            self._supervisor.wait(TERM_SECONDS + STOP_SECONDS)
        except subprocess.TimeoutExpired:  # waiting for a dead disk
            self._supervisor.kill()
            self._supervisor.wait()
        while self.ending is None and not self._supervisor.stdout.closed:
            self._listen(self._supervisor.stdout.read(4096) or b"")
        self._supervisor.stdout.close()
        if self._group is not None and self._supervisor.returncode:
            supervisor.kill_group(self._group)
        self._reader.join(DRAIN_SECONDS)
        self._drained.set()
        self._reader.join()

    def _listen(self, said: bytes) -> None:
        """Handle what the supervisor says."""
        *lines, self._said = (self._said + said).split(b"\n")
        for line in lines:
            word, _, rest = line.decode(errors="replace").partition(" ")
            if word == "locked":
                self._begin()
            elif word == "started":
                self._group = int(rest)
            elif word == "left":
                self.left = int(rest)
            elif word == "held":
                self.ending = Ending(held_by=rest)
            elif word == "unlocked":
                self.ending = Ending(lock_error=int(rest))
            elif word == "failed":
                self.ending = Ending(error=int(rest))
            elif word == "exit":
                self.ending = Ending(exit_code=int(rest), left=self.left)
            elif word == "signal":
                self.ending = Ending(signal=int(rest), left=self.left)
        if not said and self.ending is None:  # it was killed, and the kernel has killed the program, but no child of it
            self.ending = Ending(signal=signal.SIGKILL)

    def _begin(self) -> None:
        assert self._supervisor.stdin
        if not self._supervisor.stdin.closed:
            self._prepare()
            with contextlib.suppress(BrokenPipeError):  # its end is read next
                self._supervisor.stdin.write(b"\n")

    def _read_output(self) -> None:
        """Pass on what the program prints until nobody can print any more."""
        try:
            is_last = False
            while not is_last:
                is_last = self._drained.is_set()  # then one read gets all that the program has left in the pipe
                if select.select([self._output], [], [], 0 if is_last else 0.1)[0]:
                    printed = os.read(self._output, READ_BYTES)
                    if not printed:
                        return
                    self._consume(printed)
        finally:
            os.close(self._output)
