"""Stands for Ray where Ray is not the victim: trials in processes of their own, two at a time.

A life of a driver then costs 2 s of CPU instead of 10. Driver, worker, store and the trial's side of the product are
the real ones; what is missing is what Ray itself does.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from search.vocabulary.outcome import Outcome
from search.vocabulary.states import Cause

HOST = Path(__file__).with_name("trial_host.py")
SLOTS = 2


class Host:
    """A process that runs one trial after another, and the thread that reads what it sends."""

    def __init__(self, messages: queue.Queue[tuple[Host, dict[str, Any] | None]]) -> None:
        self.trial_id: int | None = None
        self._process = subprocess.Popen(
            [sys.executable, str(HOST)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._messages = messages
        for loop in (self._read, self._wait):
            threading.Thread(target=loop, daemon=True).start()

    def run(self, trial_id: int, job: Any) -> None:
        self.trial_id = trial_id
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps(asdict(job)) + "\n")
            self._process.stdin.flush()
        except OSError:  # it has died; its end is read as a loss
            pass

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._messages.put((self, json.loads(line)))

    def _wait(self) -> None:
        """Tell when the process has ended; its output may stay open in processes that it forked."""
        self._process.wait()
        self._messages.put((self, None))


class Executor:
    """Has the methods that the driver calls."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self._hosts: list[Host] = []

    def wait_for_slots(self, *_: Any, **__: Any) -> int:
        return SLOTS

    def busy_reason(self, *_: Any, **__: Any) -> str:
        return ""

    def nodes(self) -> list[Any]:
        return []

    def own_node_alive(self) -> bool:
        return True

    def silent_seconds(self) -> float:
        return 0.0

    def put_data(self, *_: Any, **__: Any) -> None:
        return None

    def wait_for_data(self, *_: Any, **__: Any) -> None:
        return None

    def run(
        self,
        work: Iterator[Any],
        make_job: Callable[[Any], Any],
        data: Any,
        listener: Any,
        *,
        stopping: threading.Event,
        **_: Any,
    ) -> None:
        messages: queue.Queue[tuple[Host, dict[str, Any] | None]] = queue.Queue()
        running: dict[Host, Outcome | None] = {}
        over = False
        while not stopping.is_set() and not (over and not running):
            while len(self._hosts) < SLOTS:
                self._hosts.append(Host(messages))
            for host in self._hosts:
                if host in running or over:
                    continue
                try:
                    replicate = next(work)
                except StopIteration:
                    over = True
                    break
                if replicate is not None:
                    running[host] = None
                    host.run(listener.start(replicate), make_job(replicate))
            try:
                host, message = messages.get(timeout=0.05)
            except queue.Empty:
                continue
            if host not in self._hosts:  # what a dead one had sent
                continue
            if message is None:
                self._hosts.remove(host)
                if host in running:
                    running.pop(host)
                    listener.finish(host.trial_id, Outcome(cause=Cause.LOST, detail="its process died"))
                continue
            if message["where"] is not None:
                listener.record_location(host.trial_id, message["where"])
            listener.report(host.trial_id, {int(epoch): each for epoch, each in message["epochs"].items()})
            if message["outcome"] is not None:
                running.pop(host)
                listener.finish(host.trial_id, Outcome.from_json(message["outcome"]))

    def close(self) -> None:
        for host in self._hosts:
            host.kill()
