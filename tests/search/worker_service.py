"""A worker over a database, as a process of its own."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import psutil

from search.settings import Settings, to_environment
from search.store import queries, searches
from search.store.database import open_engine
from tests.processes import command_of
from tests.search.program import SEQNORM, processes_of, wait_until_gone

PATIENCE = 4  # times what an idle machine needs: other tests start searches beside these


class Service:
    """A worker over a database, and the processes that belong to it."""

    def __init__(self, home: Path, url: str) -> None:
        self.settings = Settings(home=home, db=url, lease_seconds=3.0, renew_seconds=0.5, checkpoint_seconds=0.5)
        self.engine = open_engine(url, read_only=True)
        home.mkdir(parents=True, exist_ok=True)
        self.worker: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start a worker, if there is none."""
        if self.worker is None or self.worker.poll() is not None:
            log = (self.settings.home / "worker.log").open("ab")
            environment = os.environ | to_environment(self.settings)
            self.worker = subprocess.Popen([SEQNORM, "worker"], env=environment, stdout=log, stderr=log)
            log.close()

    def stop(self) -> None:
        """End the worker and all it has started."""
        if self.worker is not None and self.worker.poll() is None:
            self.worker.terminate()
            self.worker.wait(20)
        wait_until_gone(self.settings.home)

    def named(self, *words: str) -> list[psutil.Process]:
        """Return the processes whose command line has one of the words."""
        processes = processes_of(self.settings.home)
        return [process for process in processes if any(word in command_of(process) for word in words)]

    def status(self, search_id: str) -> str:
        with self.engine.connect() as connection:
            return searches.get(connection, search_id).status

    def epoch(self, search_id: str) -> int:
        with self.engine.connect() as connection:
            return searches.get(connection, search_id).epoch

    def running(self, search_id: str) -> int:
        with self.engine.connect() as connection:
            return len(queries.list_trials(connection, search_id, state="RUNNING"))

    def wait(self, condition, seconds: float = 90, what: str = "") -> None:
        deadline = time.monotonic() + seconds * PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"{what}\n{self.logs()}"
            time.sleep(0.1)

    def logs(self) -> str:
        files = [*self.settings.home.glob("*.log"), *self.settings.home.glob("searches/*/driver.log")]
        return "\n".join(f"{file}: {file.read_text(errors='replace')[-2500:]}" for file in files)
