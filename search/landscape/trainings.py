"""Measures the loss along training without normalization, with BatchNorm and with GhostNorm, one process each."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

from search.plan.grouping import gm_error
from search.vocabulary.errors import InvalidSpec
from trainers.recipe import Recipe, RecipeError, resolve

MEASURE = "trainers.landscape:measure"
POLL_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class LandscapeRequest:
    """What to measure."""

    recipe: Recipe
    gm: tuple[int, ...]  #: of GhostNorm; BatchNorm (1) and no normalization (0) are added
    overrides: dict[str, Any]
    seed: int
    data: str | None
    home: Path
    gradients: bool

    @property
    def points(self) -> list[int]:
        """Every gm to train with; 0, which means no normalization, comes first."""
        return [0, *sorted({1, *self.gm})]

    def arguments(self, gm: int) -> tuple[Any, ...]:
        """Return the arguments of the process that trains a point; recipes cannot be pickled."""
        overrides = {**(self.recipe.unnormalized if gm == 0 else {}), **self.overrides}
        return self.recipe.name, overrides, self.data, self.home, gm, self.seed, self.gradients


def check_request(request: LandscapeRequest) -> None:
    """Check a request before training starts.

    Raises:
        InvalidSpec: if something cannot be trained.
    """
    try:
        numbers = request.recipe.with_overrides(request.overrides)
    except RecipeError as error:
        raise InvalidSpec(str(error)) from None
    if not request.recipe.build:
        raise InvalidSpec(
            f"a landscape needs a recipe with the loop of this package: got {request.recipe.name}. "
            "Name one whose descriptor says build."
        )
    if request.data and request.recipe.check_data is None:
        raise InvalidSpec(f"{request.recipe.name} takes no data set: got {request.data}. Leave out --data.")
    for gm in request.points[1:]:
        if why := gm_error(gm, numbers):
            raise InvalidSpec(why)
    try:
        resolve("trainers.devices:check")(numbers.device, 1, numbers.batch, numbers.accumulate)
        resolve(request.recipe.load)(numbers, request.data, request.home)
    except RecipeError as error:
        raise InvalidSpec(str(error)) from None


def point_name(gm: int) -> str:
    """Return the display name of a gm."""
    return {0: "no normalization", 1: "BatchNorm"}.get(gm, f"GhostNorm, gm={gm}")


def measure_all(
    request: LandscapeRequest, processes: int, on_epoch: Callable[[int, int], None]
) -> dict[int, dict[str, Any]]:
    """Train all points in parallel processes; return the figures of each.

    Args:
        request: what to measure.
        processes: maximum number.
        on_epoch: called with (gm, epoch) after each epoch, and in between, so that it can raise KeyboardInterrupt.

    Raises:
        Exception: whatever a process raised.
    """
    context = multiprocessing.get_context("spawn")
    epochs: SimpleQueue[tuple[int, int]] = context.SimpleQueue()
    pool = ProcessPoolExecutor(
        min(processes, len(request.points)), context, initializer=init_process, initargs=(epochs,)
    )
    try:
        # child processes inherit the blocked signal: only this process handles Ctrl-C
        before, environ = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}), dict(os.environ)
        os.environ["PYTHONSAFEPATH"] = "1"  # else they import what lies in the current folder, e.g. a random.py
        try:
            futures = {pool.submit(measure_point, *request.arguments(gm)): gm for gm in request.points}
        finally:
            os.environ.pop("PYTHONSAFEPATH")
            os.environ.update(environ)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for gm, epoch in iterate_progress(futures, epochs):
            on_epoch(gm, epoch)
        return {gm: future.result() for future, gm in futures.items()}
    except BaseException:
        for process in list(pool._processes.values()):  # their results are not needed
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def iterate_progress(
    futures: Sequence[Future[Any]] | dict[Future[Any], int], epochs: SimpleQueue[Any]
) -> Iterator[tuple[int, int]]:
    """Yield (gm, epoch) as processes report; stop when all have ended or one has failed. Yields (-1, 0) while idle."""
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, POLL_SECONDS, FIRST_COMPLETED)
        while not epochs.empty():
            yield epochs.get()
        for future in done:
            future.result()
        yield -1, 0


# Inside a process

_epochs: SimpleQueue[tuple[int, int]] | None = None


def init_process(epochs: SimpleQueue[tuple[int, int]]) -> None:
    """Remember the queue for progress."""
    global _epochs
    _epochs = epochs


def measure_point(recipe: str, overrides: dict[str, Any], data: str | None, home: Path, gm: int, *rest: Any) -> Any:
    """Train one point."""

    def report(*, epoch: int, **metrics: float) -> None:
        assert _epochs is not None
        _epochs.put((gm, epoch))

    return resolve(MEASURE)(recipe, overrides, data, home, gm, *rest, report)
