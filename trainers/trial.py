"""The contract between a recipe and whoever runs it: ``run(params, report) -> Result``. Standard library only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

Measure = Literal["validation", "test"]


class Walk(Protocol):
    """Measures the loss around every update of the weights, and keeps what it finds."""

    def around(self, step: Any) -> Any:
        """Return a step of training that measures as well."""

    def end_epoch(self, test_error: float) -> None:
        """Take the share of the test set that the network gets wrong after an epoch."""


@dataclass(frozen=True, kw_only=True)
class Params:
    """One trial: a point of the search, a seed, and what the recipe needs to train it."""

    gm: int  #: groups along the mini-batch, per device as the recipe counts devices; 0 for no normalization
    gc: int  #: groups along the channels; 0 for no GroupNorm half
    seed: int  #: covers initial weights, data order and whatever else is random
    numbers: Any  #: the recipe's dataclass of numbers, overrides applied
    data: Any = None  #: what the recipe's `load` returned
    normalize: bool = True  #: False for the variant `none`
    measure: Measure = "validation"  #: the split that the result is measured on
    recipe: str = ""  #: the recipe's name, kept with the weights
    folder: Path | None = None  #: where the trial keeps its checkpoints; None keeps none
    checkpoint_seconds: float = 15.0  #: between checkpoints: what a lost process costs at the most, beside an epoch
    walk: Walk | None = None  #: measures the loss around every update, for a loss landscape


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a finished trial says of itself."""

    value: float  #: the recipe's metric on the split that was asked for
    samples: int | None = None  #: how many samples an accuracy was measured on
    classes: int | None = None  #: how many classes; with `samples`, lets chance be told apart

    def fault(self) -> str | None:
        """Say why this result counts as diverged; None for a sound one."""
        if not math.isfinite(self.value):
            return f"the metric is not finite: {self.value}"
        if self.samples and self.classes and self.value <= (limit := chance_limit(self.classes, self.samples)):
            return (
                f"accuracy {self.value:.4f} is at chance: with {self.classes} classes and {self.samples} samples "
                f"more than {limit:.4f} is needed"
            )
        return None


class Report(Protocol):
    """Receives one epoch's figures; raises :class:`Stopped` where the trial is to end early."""

    def __call__(self, *, epoch: int, **metrics: float) -> None:
        """Take the figures of an epoch, counted from 1."""


class Stopped(Exception):
    """The trial was asked to stop."""


class Diverged(Exception):
    """The training loss is not finite, or the network guesses."""


def chance_limit(classes: int, samples: int) -> float:
    """Accuracy that guessing stays under: 1/classes plus three standard errors over ``samples`` samples."""
    guess = 1 / classes
    return guess + 3 * math.sqrt(guess * (1 - guess) / samples)
