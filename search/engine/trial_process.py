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
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from search.engine.child_processes import kill_left_behind
from search.engine.failures import describe_failure
from search.engine.figures import check_result
from search.engine.reporter import Reporter, Send
from search.engine.trial_log import EpochLines, TrialLog, now_utc, show_logging
from search.plan.recipes import find_recipe
from search.vocabulary.formatting import format_duration
from search.vocabulary.outcome import LARGEST_VALUE, Outcome, is_comparable
from search.vocabulary.states import Cause
from trainers.commands.command import Command
from trainers.recipe import resolve
from trainers.trial import Measure, Params, Result

END_SECONDS = 20.0  # for the program of a command to end once its time is over


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
    command: dict[str, Any] | None = None  #: the program to run, if the recipe is somebody's own
    checkpoint_seconds: float = 15.0  #: minimum time between checkpoints
    timeout: float | None = None  #: seconds until the process exits; of a command, until its program is ended
    memory_bytes: int | None = None  #: memory that the trial may allocate on top of its process

    @property
    def exit_seconds(self) -> float | None:
        """Seconds until the process exits, whatever it does; a command's program gets time to end before."""
        return self.timeout + END_SECONDS if self.timeout is not None and self.command else self.timeout


def run_trial(job: TrialJob, data: Any, send: Send, location: dict[str, Any]) -> None:
    """Run a trial; send its location and its metrics, and at the end its outcome."""
    host, log = socket.gethostname(), TrialLog(Path(job.log))
    lines = EpochLines(log)
    reporter = Reporter(send, {**location, "host": host, "pid": os.getpid()}, lines.write, job.timeout)
    with (
        _redirect_output(Path(job.log)),
        log.bounded(job.exit_seconds),
        show_logging(),
        _timeout(job.exit_seconds),
        kill_left_behind(),
        _memory_limit(job.memory_bytes),
    ):
        began = time.monotonic()
        log.write(f"gm={job.gm} gc={job.gc} seed={job.seed} on {host}, process {os.getpid()}, {now_utc()}")
        try:
            outcome = _run_recipe(job, data, reporter, lines)
        except BaseException:
            log.write(f"stopped after {format_duration(time.monotonic() - began)}")
            raise
        if outcome.detail:
            log.write(outcome.detail.rstrip())
        end = outcome.cause or f"finished with {outcome.value:.6g}"
        log.write(f"{end} after {format_duration(time.monotonic() - began)}")
    reporter.end(asdict(outcome))


def _run_recipe(job: TrialJob, data: Any, reporter: Reporter, lines: EpochLines) -> Outcome:
    """Train; return the outcome, whatever the recipe raises.

    Tune ends a trial by raising SystemExit inside ``report``. That one is raised again, even if the recipe caught it.
    """
    try:
        command = Command.from_json(job.command) if job.command else None
        recipe = find_recipe(job.recipe, command=command)
        _seed_everything(job.seed)
        numbers = recipe.with_overrides(job.overrides)
        lines.planned = getattr(numbers, "epochs", None)
        params = Params(
            gm=job.gm,
            gc=job.gc,
            seed=job.seed,
            numbers=numbers,
            data=data,
            normalize=job.normalize,
            measure=job.measure,
            recipe=job.recipe,
            folder=Path(job.folder),
            checkpoint_seconds=job.checkpoint_seconds,
            command=command,
            poll=reporter.poll,
        )
        outcome = _judge(check_result(resolve(recipe.run)(params, reporter), recipe.run))
    except BaseException as error:  # SystemExit and the like, too: the process goes on to the next trial
        outcome = describe_failure(error)
    if reporter.stopped is not None:
        raise reporter.stopped
    return describe_failure(reporter.refused) if reporter.refused is not None else outcome


def _judge(result: Result) -> Outcome:
    """Convert a result to an outcome; one that is not finite, at chance or absurdly large has diverged."""
    fault = result.fault()
    if fault is None and not is_comparable(result.value):
        fault = f"the metric must be at most {LARGEST_VALUE:g} in magnitude to be compared: got {result.value:g}"
    if fault:
        return Outcome(cause=Cause.DIVERGED, detail=fault)
    return Outcome(value=result.value, samples=result.samples)


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
    """Redirect the output of the process, including C libraries, to a file.

    The trial gets streams of its own: it may close them, and they print any text.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    streams = sys.stdout, sys.stderr
    for stream in streams:
        stream.flush()
    saved = os.dup(1), os.dup(2)
    with log.open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout, sys.stderr = (
        open(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        for descriptor in (1, 2)
    )
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # closed or replaced by the recipe, or the disk is full
                stream.flush()
        sys.stdout, sys.stderr = streams
        for descriptor, original in zip((1, 2), saved, strict=True):
            os.dup2(original, descriptor)
            os.close(original)
