"""The process between a trial and its program: whatever is killed, nothing of the program is left."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from trainers.commands import program as programs
from trainers.commands import supervisor
from trainers.commands.endings import explain_start
from trainers.commands.program import Program
from trainers.commands.run import LOCK_FILE
from trainers.trial import ProgramFailed

SHIPPED_PATIENCE = supervisor.LOCK_SECONDS
ROOT = Path(__file__).parents[3]
TRIAL = """
import sys
from pathlib import Path
from trainers.commands.command import Command
from trainers.commands import program
from trainers.commands.run import run
from trainers.trial import Params
program.TERM_SECONDS = 0.5
folder, script = Path(sys.argv[1]), sys.argv[2]
command = Command(words=("/bin/sh", "-c", script), folder=str(folder), metric="acc")
run(Params(gm=1, gc=0, seed=0, numbers=None, folder=folder, command=command), lambda **figures: None)
"""


def start_trial(folder: Path, script: str) -> subprocess.Popen[bytes]:
    """Start a process that runs a trial, and wait until its program has printed a line."""
    process = subprocess.Popen([sys.executable, "-S", "-c", TRIAL, folder, script], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline()
    return process


def wait_for_lock(folder: Path) -> None:
    """Wait until the supervisor of a trial has ended."""
    with (folder / LOCK_FILE).open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)


def is_there(pid_file: Path) -> bool:
    """Return whether the process whose number a file holds has not ended."""
    try:
        return psutil.Process(int(pid_file.read_text())).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# A daemon that ignores SIGTERM, begun by a process that has ended, in a session of its own
DAEMON = "(setsid sh -c 'trap \"\" TERM; echo $$ > daemon; while :; do sleep 1000; done' &)"
WITH_DAEMON = f"{DAEMON}; while [ ! -s daemon ]; do sleep 0.01; done; echo $$ > program; echo here; sleep 1000"


def test_a_killed_trial_leaves_no_process(tmp_path):
    process = start_trial(tmp_path, WITH_DAEMON)
    assert is_there(tmp_path / "daemon")
    process.kill()
    process.communicate()
    wait_for_lock(tmp_path)
    assert not is_there(tmp_path / "daemon")
    assert not is_there(tmp_path / "program")


def test_a_killed_supervisor_takes_the_program_with_it_and_fails_the_trial(runner):
    def kill_supervisor() -> None:
        for child in psutil.Process().children():
            if supervisor.__file__ in child.cmdline():
                child.kill()

    runner.on_report = kill_supervisor
    with pytest.raises(ProgramFailed, match="the program was killed by SIGKILL"):
        runner.shell("sleep 1000 & echo $! > child; echo $$ > program; echo acc 1; wait")
    assert not is_there(runner.home / "program")
    assert not is_there(runner.home / "child")


def test_a_stopped_supervisor_is_woken_to_end_the_program(runner):
    def stop_supervisor() -> None:
        for child in psutil.Process().children():
            if supervisor.__file__ in child.cmdline():
                child.suspend()
        raise KeyboardInterrupt

    runner.on_report = stop_supervisor
    with pytest.raises(KeyboardInterrupt):
        runner.shell("setsid sleep 1000 & echo $! > daemon; echo acc 1; wait")
    assert not is_there(runner.home / "daemon")


def test_a_new_attempt_waits_until_the_one_before_has_ended(runner):
    runner.folder = runner.home
    process = start_trial(runner.home, WITH_DAEMON)
    process.kill()
    process.communicate()
    assert runner.shell("kill -0 $(cat daemon) 2>/dev/null && exit 3; echo acc 1").value == 1


def test_an_attempt_that_waits_can_be_ended(runner):
    runner.folder.mkdir()
    runner.on_poll = lambda: os.kill(os.getpid(), signal.SIGINT)
    with (runner.folder / LOCK_FILE).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(KeyboardInterrupt):
            runner.shell("touch started")
    assert not (runner.home / "started").exists()


def test_an_attempt_waits_no_longer_than_the_one_before_may_take(tmp_path, monkeypatch):
    """The rule is tested in this process, with less patience."""
    said: list[str] = []
    monkeypatch.setattr(supervisor, "LOCK_SECONDS", 0.1)
    monkeypatch.setattr(supervisor, "say", said.append)
    silent, other_end = os.pipe()
    stdin = os.dup(0)
    os.dup2(silent, 0)
    try:
        with (tmp_path / "lock").open("w") as lock:
            lock.write("process 7 on there")
            lock.flush()
            fcntl.flock(lock, fcntl.LOCK_EX)
            assert not supervisor.take_lock(str(tmp_path / "lock"))
    finally:
        os.dup2(stdin, 0)
        for descriptor in (silent, other_end, stdin):
            os.close(descriptor)
    assert said == ["held process 7 on there"]
    assert SHIPPED_PATIENCE > programs.TERM_SECONDS + supervisor.KILL_SECONDS


def test_a_trial_whose_folder_is_held_says_by_whom(runner):
    assert explain_start(programs.Ending(held_by="process 7 on there"), ["x"]) == (
        "an attempt of a trial starts when the one before has ended: process 7 on there still holds the folder of this "
        "trial. End it, and retry the trial."
    )


def test_programs_of_several_trials_run_beside_each_other(tmp_path):
    """Neither keeps a pipe of the other open."""
    printed: dict[str, bytes] = {"a": b"", "b": b""}

    def start(name: str, script: str) -> Program:
        def consume(text: bytes) -> None:
            printed[name] += text

        words = ["/bin/sh", "-c", script]
        return Program(words, folder=tmp_path, environ=os.environ, lock=tmp_path / f"lock-{name}", consume=consume)

    with start("a", "echo a; exec sleep 1000") as first:
        with start("b", "echo b; exec sleep 1000") as second:
            while b"" in printed.values():
                assert not first.wait(0.01)
                assert not second.wait(0.01)
        assert second.ending.signal == signal.SIGTERM
        assert first.ending is None
    assert first.ending.signal == signal.SIGTERM
    assert printed == {"a": b"a\n", "b": b"b\n"}


WITH_TERMINAL = "import fcntl, os, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n" + TRIAL


def test_a_program_has_no_terminal_to_write_to(tmp_path):
    """Not even where a person watches the trial."""
    master, terminal = os.openpty()
    words = [sys.executable, "-S", "-c", WITH_TERMINAL, tmp_path, "echo hello > /dev/tty || echo acc 1"]
    try:
        done = subprocess.run(words, cwd=ROOT, stdin=terminal, stdout=subprocess.PIPE, timeout=60, check=False)
    finally:
        os.close(master)
        os.close(terminal)
    assert done.stdout.splitlines()[1:] == [b"acc 1"]
    assert done.returncode == 0


def test_no_descriptor_and_no_thread_is_left_of_a_trial(runner):
    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    for script in ("echo acc 1", "exit 1", "/no/such"):
        with contextlib.suppress(ProgramFailed):
            runner.shell(script)
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before


def test_a_program_gets_no_descriptor_but_the_usual_ones(runner, capfd):
    runner.python("import os; print(sorted(os.listdir('/proc/self/fd'))); print('acc 1')")
    assert capfd.readouterr().out.splitlines()[0] == "['0', '1', '2', '3']"  # 3 is the listing's own


def test_without_proc_the_processes_are_listed_by_ps(tmp_path, monkeypatch):
    ps = tmp_path / "ps"
    ps.write_text("#!/bin/sh\necho '    1     0     1 Ss'\necho '   20     1    20 Z+'\necho '  300    20    20 S+'\n")
    ps.chmod(0o700)
    monkeypatch.setattr(supervisor, "PS", str(ps))
    assert supervisor.processes_of_ps() == {1: (0, 1), 300: (20, 20)}
