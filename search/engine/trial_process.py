"""Runs inside a trial's process: calls the recipe, sends its metrics, and converts its end to an outcome.

The process has no access to the database or a token. It is reused for many trials, so a trial must leave no state.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import random
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from search.vocabulary.outcome import Outcome
from search.vocabulary.states import Cause
from trainers.recipe import find, resolve
from trainers.trial import Diverged, Measure, Params

REPORT_SECONDS = 0.5  # metrics are batched: a message costs the driver 6 ms
DETAIL_CHARACTERS = 4000  # from the end of a traceback

Send = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class TrialJob:
    """The description of a trial that is sent to its process."""

    recipe: str
    overrides: dict[str, Any]  #: of the recipe's numbers
    gm: int
    gc: int
    seed: int
    normalize: bool
    measure: Measure
    folder: str  #: for the checkpoints of this replicate, the same for every attempt
    log: str  #: file for the output of the trial
    checkpoint_seconds: float = 15.0  #: minimum time between checkpoints
    timeout: float | None = None  #: seconds until the process exits
    memory_bytes: int | None = None  #: memory that the trial may allocate on top of its process


def run_trial(job: TrialJob, data: Any, send: Send, location: dict[str, Any]) -> None:
    """Run a trial; send its location and its metrics, and at the end its outcome."""
    reporter = Reporter(send, {**location, "host": socket.gethostname(), "pid": os.getpid()})
    with _redirect_output(Path(job.log)), _timeout(job.timeout), _memory_limit(job.memory_bytes):
        outcome = _run_recipe(job, data, reporter)
        if outcome.detail:
            print(outcome.detail, file=sys.stderr)
    reporter.send(asdict(outcome))


class Reporter:
    """Collects metrics by epoch and sends them at most every ``REPORT_SECONDS``."""

    def __init__(self, send: Send, where: dict[str, Any]) -> None:
        self._send = send
        self._where: dict[str, Any] | None = where  # sent once
        self._gathered: dict[int, dict[str, float]] = {}
        self._sent_at = time.monotonic()

    def __call__(self, *, epoch: int, **metrics: float) -> None:
        """Report the metrics of an epoch."""
        self._gathered[epoch] = {name: float(value) for name, value in metrics.items()}
        if time.monotonic() - self._sent_at >= REPORT_SECONDS:
            self.send(None)

    def send(self, outcome: dict[str, Any] | None) -> None:
        """Send the collected metrics, and the outcome if there is one."""
        gathered, self._gathered = self._gathered, {}
        where, self._where = self._where, None
        self._send({"where": where, "epochs": gathered, "outcome": outcome})
        self._sent_at = time.monotonic()


def _run_recipe(job: TrialJob, data: Any, reporter: Reporter) -> Outcome:
    try:
        recipe = find(job.recipe)
        _seed_everything(job.seed)
        params = Params(
            gm=job.gm,
            gc=job.gc,
            seed=job.seed,
            numbers=recipe.with_overrides(job.overrides),
            data=data,
            normalize=job.normalize,
            measure=job.measure,
            recipe=job.recipe,
            folder=Path(job.folder),
            checkpoint_seconds=job.checkpoint_seconds,
        )
        result = resolve(recipe.run)(params, reporter)
        fault = result.fault()
        return Outcome(cause=Cause.DIVERGED, detail=fault) if fault else Outcome(value=float(result.value))
    except Diverged as error:
        return Outcome(cause=Cause.DIVERGED, detail=str(error))
    except Exception as error:
        return Outcome(cause=Cause.OUT_OF_MEMORY if _is_out_of_memory(error) else Cause.RAISED, detail=_traceback())


def _is_out_of_memory(error: Exception) -> bool:
    """Recognize the errors of Python, CUDA and torch's CPU allocator."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or "can't allocate memory" in str(error)


def _traceback() -> str:
    return traceback.format_exc()[-DETAIL_CHARACTERS:]


def _seed_everything(seed: int) -> None:
    """Seed all random generators, because earlier trials used them."""
    random.seed(seed)
    for library, reseed in (("numpy", "random.seed"), ("torch", "manual_seed")):
        if library in sys.modules:
            function = sys.modules[library]
            for part in reseed.split("."):
                function = getattr(function, part)
            function(seed)  # type: ignore[operator]


@contextlib.contextmanager
def _timeout(seconds: float | None) -> Iterator[None]:
    """Exit the process after ``seconds`` and log its stack; works even if native code hangs."""
    if seconds is None:
        yield
        return
    faulthandler.dump_traceback_later(seconds, exit=True, file=2)  # redirected to the log
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


@contextlib.contextmanager
def _memory_limit(allowed: int | None) -> Iterator[None]:
    """Limit the process to ``allowed`` bytes more than it has allocated now."""
    if allowed is None:
        yield
        return
    import resource  # not on every platform

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    has = int(status["VmData"].split()[0]) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (has + allowed, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


@contextlib.contextmanager
def _redirect_output(log: Path) -> Iterator[None]:
    """Redirect the output of the process, including C libraries, to a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with log.open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, original in zip((1, 2), saved, strict=True):
            os.dup2(original, descriptor)
            os.close(original)
