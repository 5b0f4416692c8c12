"""Standard output and standard error as they are: in any encoding, into a pipe that closes, on a disk that is full."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable

from search.cli.exit_codes import EXIT_FAILED, EXIT_OK
from search.engine.logs import log_error

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

ExitCode = int | str | None


def run_program(program: Callable[[], ExitCode]) -> ExitCode:
    """Run a program to its end; return its exit code.

    Characters that the output cannot show are replaced. A closed pipe is no error, as its reader has read enough.
    A full disk is reported in a sentence.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        code = _call(program)
    except BrokenPipeError:
        code = EXIT_OK
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        code = _report(error)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # Python flushes it once more when it ends
            if stream is sys.stdout and not isinstance(error, BrokenPipeError) and code == EXIT_OK:
                code = _report(error)
    return code


def _call(program: Callable[[], ExitCode]) -> ExitCode:
    try:
        return program() or EXIT_OK
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # of which click makes exit code 1
            return EXIT_OK
        return end.code or EXIT_OK


def _report(error: OSError) -> int:
    where = f" at {error.filename}" if error.filename else ""
    log_error(
        f"there must be room to write: got {error.strerror}{where}. "
        "Make room on the disk of the output and of the home folder; what was stored before is kept."
    )
    return EXIT_FAILED
