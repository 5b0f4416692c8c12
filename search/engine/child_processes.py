"""Kills the processes that a trial leaves behind, since the next trial in its process needs their memory and cores."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator

import psutil

KEPT = (  # helpers of libraries, started once in a process and used by its later trials, too
    "multiprocessing.resource_tracker",
    "multiprocessing.forkserver",
    "torch/_inductor/compile_worker",
)


@contextlib.contextmanager
def kill_left_behind() -> Iterator[None]:
    """Kill the descendants that were started inside and still run at the end."""
    before = _descendants()
    try:
        yield
    finally:
        if _descendants() - before:
            gc.collect()  # lets data loaders that nobody uses any more stop their workers
            for process in _descendants() - before:
                with contextlib.suppress(psutil.Error):
                    if not _is_kept(process):
                        process.kill()  # and reap none: libraries would take theirs for alive


def _descendants() -> set[psutil.Process]:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:  # there are none, which spares reading the whole process table
        return set()
    return set(psutil.Process().children(recursive=True))


def _is_kept(process: psutil.Process) -> bool:
    command = " ".join(process.cmdline())
    return any(helper in command for helper in KEPT)
