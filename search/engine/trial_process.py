"""What runs inside a trial's process: calls the recipe, gathers its figures, and turns its end into an outcome.

The process sees neither the database nor a token. It is used for one trial after another, so nothing of a trial may
outlive it.
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

REPORT_SECONDS = 0.5  # figures travel together: a message costs the driver 6 ms
DETAIL_CHARACTERS = 4000  # of a traceback, from its end

Send = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class TrialJob:
    """A trial as it is sent to a process."""

    recipe: str
    overrides: dict[str, Any]  #: of the recipe's numbers
    gm: int
    gc: int
    seed: int
    normalize: bool
    measure: Measure
    folder: str  #: where checkpoints of this replicate go, the same for every attempt
    log: str  #: file that takes what the trial prints
    checkpoint_seconds: float = 15.0  #: between checkpoints
    timeout: float | None = None  #: seconds after which the process ends itself
    memory_bytes: int | None = None  #: what the trial may allocate beside what its process had


def run_trial(job: TrialJob, data: Any, send: Send, location: dict[str, Any]) -> None:
    """Run a trial; send where it runs and its figures as they come, and its outcome with the last of them."""
    reporter = Reporter(send, {**location, "host": socket.gethostname(), "pid": os.getpid()})
    with _redirect_output(Path(job.log)), _timeout(job.timeout), _memory_limit(job.memory_bytes):
        outcome = _run_recipe(job, data, reporter)
        if outcome.detail:
            print(outcome.detail, file=sys.stderr)
    reporter.send(asdict(outcome))


class Reporter:
    """Gathers figures by epoch and sends them at most every half second."""

    def __init__(self, send: Send, where: dict[str, Any]) -> None:
        self._send = send
        self._where: dict[str, Any] | None = where  # told once
        self._gathered: dict[int, dict[str, float]] = {}
        self._sent_at = time.monotonic()

    def __call__(self, *, epoch: int, **metrics: float) -> None:
        """Take the figures of an epoch."""
        self._gathered[epoch] = {name: float(value) for name, value in metrics.items()}
        if time.monotonic() - self._sent_at >= REPORT_SECONDS:
            self.send(None)

    def send(self, outcome: dict[str, Any] | None) -> None:
        """Send what was gathered, and the outcome if there is one."""
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
    """Tell Python's, CUDA's and torch's CPU allocator's ways of saying so."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or "can't allocate memory" in str(error)


def _traceback() -> str:
    return traceback.format_exc()[-DETAIL_CHARACTERS:]


def _seed_everything(seed: int) -> None:
    """Seed the process's generators: the trial before has left them anywhere."""
    random.seed(seed)
    for library, reseed in (("numpy", "random.seed"), ("torch", "manual_seed")):
        if library in sys.modules:
            function = sys.modules[library]
            for part in reseed.split("."):
                function = getattr(function, part)
            function(seed)  # type: ignore[operator]


@contextlib.contextmanager
def _timeout(seconds: float | None) -> Iterator[None]:
    """End the process after ``seconds``, with where it was in the log; works whatever the trial hangs in."""
    if seconds is None:
        yield
        return
    faulthandler.dump_traceback_later(seconds, exit=True, file=2)  # the descriptor that leads to the log
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


@contextlib.contextmanager
def _memory_limit(allowed: int | None) -> Iterator[None]:
    """Have allocations fail that would take the process more than ``allowed`` bytes above what it has."""
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
    """Send what the process prints, C libraries included, to a file."""
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
