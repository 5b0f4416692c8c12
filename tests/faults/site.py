"""What is under test: a worker, or a service with one, over a database, and all processes that belong to it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from search.settings import Settings, to_environment
from tests.processes import command_of
from tests.search.program import SEQNORM, processes_of

INSIDE = Path(__file__).with_name("inside")
WORDS = {  # of the command lines of each kind of process
    "driver": ("search.engine.driver",),
    "trial": ("trial_host.py", "ray::"),
    "worker": (f"{SEQNORM} worker", "search.cli worker"),
    "service": ("-m service", "service.__main__"),
    "raylet": ("raylet/raylet",),
    "gcs": ("gcs_server",),
}
STOP_SECONDS = 30


class Site:
    """Starts the worker or the service, and finds its processes."""

    def __init__(
        self, settings: Settings, points: list[dict[str, Any]], *, without_ray: bool = True, serves: bool = False
    ) -> None:
        self.settings, self._serves = settings, serves
        self._process: subprocess.Popen[bytes] | None = None
        self.faults = settings.home / "faults"
        self.faults.mkdir(parents=True, exist_ok=True)
        (self.faults / "plan.json").write_text(json.dumps({"points": points, "without_ray": without_ray}))
        self.temporary = Path(tempfile.mkdtemp(prefix="sf-"))  # short, as Ray's sockets are in it

    def start(self) -> None:
        """Start the worker or the service, if it does not run."""
        if self._process is not None and self._process.poll() is None:
            return
        path = os.pathsep.join([str(INSIDE), os.environ.get("PYTHONPATH", "")])
        environment = os.environ | to_environment(self.settings)
        environment |= {"FAULTS": str(self.faults), "PYTHONPATH": path, "TMPDIR": str(self.temporary)}
        words = [sys.executable, "-m", "service"] if self._serves else [SEQNORM, "worker"]
        with (self.settings.home / "printed.log").open("ab") as log:
            self._process = subprocess.Popen(words, env=environment, stdout=log, stderr=log, cwd=self.settings.home)

    def processes(self, kind: str) -> list[psutil.Process]:
        """Return the processes of a kind; ``tree`` for all."""
        found = processes_of(self.settings.home)
        if kind == "tree":
            return found
        return [process for process in found if any(word in command_of(process) for word in WORDS[kind])]

    def signal(self, kind: str, number: signal.Signals, only: int | None = None) -> int:
        """Signal the processes of a kind, or so many of them; return how many there were."""
        victims = self.processes(kind)[:only]
        for victim in victims:
            with suppress(psutil.Error):
                victim.send_signal(number)
        if self._process is not None and number == signal.SIGKILL and kind in ("tree", "worker", "service"):
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(1)
        return len(victims)

    def stop(self) -> int | None:
        """Ask the worker or the service to leave; return its exit code, None if it does not."""
        code: int | None = None
        if self._process is not None:
            if self._process.poll() is None:
                self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                code = self._process.wait(STOP_SECONDS)
        return code

    def left(self) -> tuple[list[str], list[str]]:
        """Return the processes and the files that are left once everything was told to stop; remove them."""
        _, alive = psutil.wait_procs(processes_of(self.settings.home), timeout=5)
        processes = [command_of(process) or str(process) for process in alive]
        for process in alive:
            with suppress(psutil.Error):
                process.kill()
        patterns = ("searches/*/ray-*", "searches/*/checkpoints/**/*.tmp", "**/*.partial")
        files = [str(file) for pattern in patterns for file in self.settings.home.glob(pattern)]
        files += [str(folder) for folder in self.temporary.glob("seqnorm-ray-*")]
        return processes, files

    def close(self) -> None:
        """End whatever is left."""
        for process in processes_of(self.settings.home):
            with suppress(psutil.Error):
                process.kill()
        if self._process is not None:
            self._process.wait(10)
        shutil.rmtree(self.temporary, ignore_errors=True)

    def logs(self) -> str:
        """Return the ends of all logs."""
        files = [*self.settings.home.glob("*.log"), *self.settings.home.glob("searches/*/driver.log")]
        return "\n".join(f"{file}:\n{file.read_text(errors='replace')[-3000:]}" for file in files)
