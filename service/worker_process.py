"""Run a worker as a child process of the web service, so that pages respond while the worker works."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from search.settings import Settings, to_environment

log = logging.getLogger(__name__)

POLL_SECONDS = 0.25
STOP_SECONDS = 15.0  # a worker gives its driver 9 s
RESTART_SECONDS = 5.0  # between the end of a worker and the start of the next


class WorkerProcess:
    """Keeps one worker running until it is stopped."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = threading.Event()
        self._process = self._start()
        self._thread = threading.Thread(target=self._supervise, daemon=True)
        self._thread.start()

    def stop(self, hurry: Callable[[], bool] = lambda: False) -> None:
        """Ask the worker to requeue its search and exit. Kill it if it does not exit in time.

        Args:
            hurry: asked again and again; once it is true, the worker is asked to kill its driver at once.
        """
        self._stopping.set()
        self._thread.join()
        hurried = False
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            if not hurried and hurry():
                self._process.send_signal(signal.SIGINT)  # not the same again: two at once would count as one
                hurried = True
            time.sleep(0.05)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _supervise(self) -> None:
        while not self._stopping.wait(POLL_SECONDS):
            if self._process.poll() is not None:
                log.warning(
                    "the worker exited with %s; starting another in %g s", self._process.returncode, RESTART_SECONDS
                )
                if self._stopping.wait(RESTART_SECONDS):
                    return
                try:
                    self._process = self._start()
                except OSError as error:  # no process left; the next round may succeed
                    log.warning("no worker could be started: %s", error)

    def _start(self) -> subprocess.Popen[bytes]:
        """Start a worker in its own session, so that Ctrl-C in the terminal reaches only the service."""
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "search.cli", "worker", "--parent", str(os.getpid())],
            env={**os.environ, **to_environment(self._settings)},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
