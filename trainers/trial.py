"""The interface between a recipe and its caller: ``run(params, report) -> Result``. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from trainers.commands.command import Command

Measure = Literal["validation", "test"]


class StepObserver(Protocol):
    """Wraps every training step, e.g. to measure the loss landscape along it."""

    def wrap(self, step: Any) -> Any:
        """Return a callable to use in place of the training step."""

    def end_epoch(self, test_error: float) -> None:
        """Receive the test error after an epoch."""


@dataclass(frozen=True, kw_only=True)
class Params:
    """One trial: a point of the search, a seed, and the recipe's inputs."""

    gm: int  #: groups along the mini-batch, per device as the recipe counts devices; 0 for none: GroupNorm alone
    gc: int  #: groups along the channels; 0 for no GroupNorm half
    seed: int  #: of initial weights, data order and all other randomness
    numbers: Any  #: the recipe's dataclass of numbers, overrides applied
    data: Any = None  #: the return value of the recipe's `load`
    normalize: bool = True  #: False for the variant `none`
    measure: Measure = "validation"  #: the split that the result is measured on
    recipe: str = ""  #: the recipe's name, stored with the weights
    folder: Path | None = None  #: folder of the trial's checkpoints; None for no checkpoints
    checkpoint_seconds: float = 15.0  #: between checkpoints; a lost process costs at most this and one epoch
    command: Command | None = None  #: the program to run, if the recipe is somebody's own
    #: for recipes that wait for something else: to be called about once a second; raises if the trial must end
    poll: Callable[[], None] | None = None
    observer: StepObserver | None = None  #: wraps every training step; used to measure loss landscapes


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of a finished trial."""

    value: float  #: the recipe's metric on the requested split
    samples: int | None = None  #: number of samples that an accuracy was measured on
    classes: int | None = None  #: number of classes; with `samples`, determines the chance level

    def fault(self) -> str | None:
        """Return why this result counts as diverged, or None."""
        if not math.isfinite(self.value):
            return f"the metric is not finite: {self.value}"
        if self.samples and self.classes and self.value <= (limit := chance_limit(self.classes, self.samples)):
            return (
                f"accuracy {self.value:.4f} is at chance: with {self.classes} classes and {self.samples} samples "
                f"more than {limit:.4f} is needed"
            )
        return None


class Report(Protocol):
    """Receives the metrics of one epoch; may wait, or raise to end the trial early.

    In a search, a report that is not a number fails the trial, and the first report of an epoch stands.
    """

    def __call__(self, *, epoch: int, **metrics: float) -> None:
        """Report the metrics of an epoch, counted from 1."""


class Diverged(Exception):
    """The training loss is not finite, or accuracy stays at chance."""


class InvalidPoint(Exception):
    """The layers refuse the point's group counts, whatever the seed: no replicate of it can be trained."""


class ProgramFailed(Exception):
    """A program that is not ours did not end well. The message is for people: what it did, and its last lines."""


class ProgramOutOfMemory(ProgramFailed, MemoryError):
    """A program that is not ours said that memory ran out."""


def chance_limit(classes: int, samples: int) -> float:
    """Return the largest accuracy explained by chance: 1/classes plus three standard errors over ``samples``."""
    guess = 1 / classes
    return guess + 3 * math.sqrt(guess * (1 - guess) / samples)
