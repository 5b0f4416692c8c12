"""Runs a program for a trial, and leaves no process of it behind. A program of its own, without third parties.

It stands between the process of the trial and the program: ``supervisor.py LOCK OUTPUT SECONDS WORD…``. LOCK is a file
that it locks, so that two attempts of a trial do not meet; OUTPUT is the number of the descriptor that the program
prints to.

It ends the program as soon as its own stdin is closed, which the kernel does however the trial's process dies: SIGTERM
to all descendants, SIGKILL to those that are left after SECONDS. When the program has ended by itself, what it
has left behind ends the same way. On Linux every descendant is found, daemons too, since it adopts them; elsewhere,
those that stay in the program's process group.

On stdout it says, a line each: ``unlocked ERRNO``, if LOCK cannot be opened; ``held WHO``, if another attempt keeps
it; ``locked``, upon which it waits for a byte on stdin; ``failed ERRNO``, if the program cannot be started, or
``started PID``; ``left COUNT``, the processes that outlived the program; ``exit CODE`` or ``signal NUMBER``, the
program's end.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import signal
import sys
import time
from collections.abc import Iterable

LOCK_SECONDS = 30.0  # to wait for another attempt, which needs seconds to end
KILL_SECONDS = 10.0  # until a process that SIGKILL does not end, e.g. one that waits for a dead disk, is given up
EXIT_SECONDS = 0.5  # for helpers of a program, e.g. of a data loader, to notice that it has ended
LOOK_SECONDS = 0.02
PS = "/bin/ps"

_SUBREAPER, _DEATH_SIGNAL = 36, 1  # PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG of <sys/prctl.h>


def main(lock: str, output: int, term_seconds: float, words: list[str]) -> None:
    """Run a program to its end, or until stdin is closed."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, frame: None)
    prctl(_SUBREAPER, 1)
    if not take_lock(lock):
        return
    say("locked")
    if not os.read(0, 1):  # the trial ended meanwhile
        return
    program = start(words, output)
    os.close(output)
    if program is None:
        return
    say(f"started {program}")
    tree = Tree(program)
    asked_to_stop = False
    while not asked_to_stop and not tree.reap():
        ready, _, _ = select.select([0, woken], [], [])
        signals = os.read(woken, 512) if woken in ready else b""
        asked_to_stop = 0 in ready or any(number != signal.SIGCHLD for number in signals)
    if not asked_to_stop and tree.wait(EXIT_SECONDS):
        say(f"left {len(tree.processes())}")
    tree.end(term_seconds)
    status = tree.status or 0
    say(f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit {os.waitstatus_to_exitcode(status)}")


class Tree:
    """A program that was started here, and its descendants."""

    def __init__(self, program: int) -> None:
        self._program = program
        self.status: int | None = None  #: of the program, as ``os.wait`` gives it, once it has ended

    def reap(self) -> bool:
        """Let children that have ended disappear; return whether the program is among those that have."""
        try:
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self._program:
                    self.status = ended[1]
        except ChildProcessError:
            pass
        return self.status is not None

    def processes(self) -> dict[int, int]:
        """Return the processes that have not ended, with their parents."""
        table = process_table()
        found, added = set(), {os.getpid()}
        while added:
            found |= added
            added = {pid for pid, (parent, _) in table.items() if parent in added} - found
        found |= {pid for pid, (_, group) in table.items() if group == self._program}
        return {pid: table[pid][0] for pid in found & table.keys() - {os.getpid()}}

    def wait(self, seconds: float) -> bool:
        """Wait until no process is left, but not longer; return whether some are."""
        until = time.monotonic() + seconds
        while self._look():
            if time.monotonic() >= until:
                return True
            time.sleep(LOOK_SECONDS)
        return False

    def end(self, term_seconds: float) -> None:
        """End all processes: by SIGTERM, and by SIGKILL what is left of them after some seconds.

        What they start to clean up is left the rest of the time, but not what has lost its parent: that was started
        while we looked.
        """
        started = time.monotonic()
        asked: set[int] = set()
        while (left := self._look()) and time.monotonic() < started + term_seconds:
            new = {pid for pid, parent in left.items() if not asked or parent == os.getpid()} - asked
            send(signal.SIGTERM, new)
            asked |= new
            time.sleep(LOOK_SECONDS)
        while (left := self._look()) and time.monotonic() < started + term_seconds + KILL_SECONDS:
            send(signal.SIGKILL, left)
            time.sleep(LOOK_SECONDS)

    def _look(self) -> dict[int, int]:
        self.reap()
        return self.processes()


def send(number: int, processes: Iterable[int]) -> None:
    """Send a signal to processes, stopped ones too."""
    for pid in processes:
        for each in (number, signal.SIGCONT):
            with contextlib.suppress(OSError):  # ended meanwhile, or another user's
                os.kill(pid, each)


def kill_group(group: int) -> None:
    """Kill the processes of a group, and wait until they have ended, which is a little later."""
    until = time.monotonic() + KILL_SECONDS
    while left := [pid for pid, (_, of_group) in process_table().items() if of_group == group]:
        if time.monotonic() >= until:
            return
        send(signal.SIGKILL, left)
        time.sleep(LOOK_SECONDS)


def take_lock(path: str) -> bool:
    """Lock a file until this process ends; return False if that fails, another process keeps it, or the trial ended."""
    try:
        file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)  # open, and not inherited
    except OSError as error:
        say(f"unlocked {error.errno}")
        return False
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                break  # a file system without locks
        if time.monotonic() >= until:
            say(f"held {os.read(file, 200).decode(errors='replace')}")
            return False
        if select.select([0], [], [], LOOK_SECONDS)[0]:
            return False
    with contextlib.suppress(OSError):  # a full disk: the lock holds all the same
        os.ftruncate(file, 0)
        os.write(file, f"process {os.getpid()} on {os.uname().nodename}".encode())
    return True


def start(words: list[str], output: int) -> int | None:
    """Start a program; return its process, or None if it cannot be run."""
    report, fault = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            prctl(_DEATH_SIGNAL, signal.SIGKILL)  # if this process is killed itself, at least the program goes, too
            null = os.open(os.devnull, os.O_RDONLY)
            for number, descriptor in enumerate((null, output, output)):
                os.dup2(descriptor, number)
            os.set_inheritable(output, False)
            signal.set_wakeup_fd(-1)
            for each in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
                with contextlib.suppress(OSError):  # those of the C library
                    signal.signal(each, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            os.execvp(words[0], words)  # noqa: S606  # nosec B606
        except OSError as error:
            os.write(fault, str(error.errno).encode())
        finally:
            os._exit(127)
    os.close(fault)
    failed = os.read(report, 20)
    os.close(report)
    if failed:
        os.waitpid(pid, 0)
        say(f"failed {failed.decode()}")
        return None
    return pid


def process_table() -> dict[int, tuple[int, int]]:
    """Return the parent and the group of every process that has not ended."""
    if not os.path.isdir("/proc/self"):
        return processes_of_ps()
    table = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    state, parent, group = file.read().rpartition(b")")[2].split()[:3]
            except OSError:  # it has ended
                continue
            if state not in (b"Z", b"X"):
                table[int(name)] = int(parent), int(group)
    return table


def processes_of_ps() -> dict[int, tuple[int, int]]:
    """Return the same where there is no /proc."""
    import subprocess

    columns = ["-A", "-o", "pid=,ppid=,pgid=,stat="]
    printed = subprocess.run([PS, *columns], stdout=subprocess.PIPE, check=False).stdout
    rows = (line.split() for line in printed.splitlines())
    return {int(row[0]): (int(row[1]), int(row[2])) for row in rows if len(row) == 4 and not row[3].startswith(b"Z")}


def prctl(option: int, value: int) -> None:
    """Change a property of this process, on Linux."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def say(line: str) -> None:
    """Tell the trial's process, unless it has ended."""
    with contextlib.suppress(OSError):
        os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:])
