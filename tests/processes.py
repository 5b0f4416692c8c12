"""Looking at processes that may end while they are looked at."""

import contextlib

import psutil


def command_of(process: psutil.Process) -> str:
    """Return the words that a process was started with; nothing for one that has ended."""
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""
