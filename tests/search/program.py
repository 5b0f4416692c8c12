"""The program as a person runs it: as a process of its own where signals matter, else within this one.

What a process takes to start, 1.5 s of CPU, is spared the hundreds of commands of which only the answer matters.
"""

from __future__ import annotations

import io
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from copy import copy
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest

from search.cli import main, root
from tests.processes import command_of

SEQNORM = str(Path(sys.executable).with_name("seqnorm"))


def seqnorm(home: Path, *words: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command at a home to its end."""
    done = run("--home", str(home), *words)
    assert done.returncode == expect, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}\n{driver_log(home)}"
    return done


def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the program to its end, with more variables than there are."""
    if "serve" in words:  # sets up its process as a service
        environ = os.environ | variables
        return subprocess.run([SEQNORM, *words], capture_output=True, text=True, timeout=600, env=environ)
    out, said = (io.TextIOWrapper(io.BytesIO(), write_through=True) for _ in range(2))
    before = dict(os.environ)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(said):
        patch.setattr(sys, "argv", [SEQNORM, *words])
        patch.setattr(os, "execv", become)
        patch.setattr(root, "_global_options", copy(root._global_options))  # it keeps what it is given
        patch.setitem(sys.modules, "__main__", ModuleType("__main__"))  # else the program takes the name of this one
        os.environ.update(variables)
        try:
            code: Any = main()
        except SystemExit as left:
            code = left.code
        finally:
            os.environ.clear()
            os.environ.update(before)
    if isinstance(code, str):  # as Python itself takes it
        said.write(f"{code}\n")
        code = 1
    printed, complaint = (stream.buffer.getvalue().decode() for stream in (out, said))
    return subprocess.CompletedProcess(["seqnorm", *words], code or 0, printed, complaint)


def become(_: str, words: list[str]) -> None:
    """Run ``python -P -m MODULE`` in the place of the program."""
    _, _, _, package, *sys.argv[1:] = words
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(sys.modules, f"{package}.__main__", raising=False)  # imported by a test
        runpy.run_module(package, run_name="__main__", alter_sys=True)


def seqnorm_json(home: Path, *words: str, expect: int = 0) -> Any:
    """Run a command and read what it prints."""
    return json.loads(seqnorm(home, *words, "--json", expect=expect).stdout)


def start(home: Path, *words: str) -> subprocess.Popen[str]:
    """Start a command."""
    return subprocess.Popen(
        [SEQNORM, "--home", str(home), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def interrupt(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Press Ctrl-C: the terminal signals the whole foreground group."""
    os.killpg(process.pid, signal.SIGINT)
    return process.communicate(timeout=90)


def processes_of(home: Path) -> list[psutil.Process]:
    """Return the drivers and trial processes that belong to a home."""
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except (psutil.Error, OSError):
            continue
        if environment.get("SEQNORM_HOME") == str(home):
            found.append(process)
    return found


def wait_until_gone(home: Path, seconds: float = 30) -> None:
    """Wait until no process of a home is left."""
    deadline = time.monotonic() + seconds
    while left := processes_of(home):
        assert time.monotonic() < deadline, [command_of(process) for process in left]
        time.sleep(0.1)


def wait_for_driver(home: Path, seconds: float = 60) -> None:
    """Wait until a driver has started, which then starts Ray."""
    deadline = time.monotonic() + seconds
    while not any("search.engine.driver" in command_of(process) for process in processes_of(home)):
        assert time.monotonic() < deadline, "no driver started"
        time.sleep(0.05)
    time.sleep(1.5)


def wait_for_lines(journal: Path, count: int, seconds: float = 180) -> None:
    """Wait until trials have written so many lines."""
    deadline = time.monotonic() + seconds
    while not journal.exists() or len(journal.read_text().splitlines()) < count:
        assert time.monotonic() < deadline, "the trials wrote too little"
        time.sleep(0.05)


def driver_log(home: Path) -> str:
    """Return what the drivers of a home printed."""
    return "\n".join(log.read_text(errors="replace")[-3000:] for log in home.glob("searches/*/driver.log"))
