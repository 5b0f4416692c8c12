"""Identities of processes, so that others on the same host can tell whether one has exited.

The wall clock takes no part: after a step of it, a start time in seconds is another one.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
PID_NAMESPACE = Path("/proc/self/ns/pid")
START_TICKS = 19  # index in /proc/PID/stat after the name in parentheses: field 22


@dataclass(frozen=True)
class ProcessIdentity:
    """Identifies a process."""

    host: str
    pid: int
    boot: str = ""  #: of its kernel, and the namespace of its pid; empty if unknown
    start: str = ""  #: ticks from boot to its start; detects a reused pid

    @classmethod
    def this_process(cls) -> ProcessIdentity:
        """Return the identity of the calling process."""
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity:
        """Return the identity of a process of this host."""
        return cls(socket.gethostname(), pid, _boot(), _start(pid) or "")

    @classmethod
    def parse(cls, stored: Mapping[str, Any]) -> ProcessIdentity:
        """Read a stored identity; of version 0.1.0 only host and pid are used."""
        return cls(**{name: stored[name] for name in ("host", "pid", "boot", "start") if name in stored})

    @property
    def has_exited(self) -> bool:
        """Whether the process has certainly ended: this kernel ran it and does not run it any more."""
        if self.host != socket.gethostname() or not self.boot or self.boot != _boot():
            return False
        start = _start(self.pid)
        return start != self.start and (start is not None or not _is_hidden(self.pid))


def _boot() -> str:
    """Return what tells apart two kernels, and two sets of pids of one kernel; containers are such sets."""
    try:
        return f"{BOOT_ID.read_text().strip()} {os.readlink(PID_NAMESPACE)}"
    except OSError:  # not Linux
        return socket.gethostname()


def _start(pid: int) -> str | None:
    """Return when a process started; None if none with that pid runs."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return _start_off_linux(pid)
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[START_TICKS]  # a zombie has exited


def _is_hidden(pid: int) -> bool:
    """Return whether a process of another user exists: some systems show only one's own under /proc."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        pass
    return False


def _start_off_linux(pid: int) -> str | None:
    if BOOT_ID.exists():  # Linux, so no such process runs
        return None
    try:  # start times move with the clock there, so a reused pid is taken for the process until its lease lapses
        return None if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE else ""
    except psutil.Error:
        return None
