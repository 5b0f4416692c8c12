"""The worker that serves beside the web service: a process of its own, so that pages answer while it works."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading

from search.settings import Settings, to_environment

log = logging.getLogger(__name__)

STOP_SECONDS = 15.0  # a worker gives its driver 9 s
PAUSE_SECONDS = 5.0  # before a worker that died is followed by another


class WorkerProcess:
    """Keeps one worker running until it is stopped."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = threading.Event()
        self._process = self._start()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Have the worker leave its search queued and end; kill it if it does not."""
        self._stopping.set()
        self._thread.join()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _keep(self) -> None:
        while not self._stopping.wait(0.25):
            if self._process.poll() is not None:
                log.warning("the worker ended with %s; another follows", self._process.returncode)
                if self._stopping.wait(PAUSE_SECONDS):
                    return
                self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        """Start a worker in a session of its own, so that a Ctrl-C reaches it through us alone."""
        return subprocess.Popen(
            [sys.executable, "-m", "search.cli", "worker", "--parent", str(os.getpid())],
            env={**os.environ, **to_environment(self._settings)},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
