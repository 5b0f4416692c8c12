"""The 1,797 handwritten digits of scikit-learn on a small fully connected network; a trial takes about a second."""

from __future__ import annotations

from dataclasses import dataclass

from trainers.descriptors.numbers import TrainingNumbers
from trainers.recipe import Recipe, number


@dataclass(frozen=True, kw_only=True)
class DigitsNumbers(TrainingNumbers):
    """A small recipe of our own, for trying things out; not in the paper."""

    batch: int = number(128, "samples per step", 1)
    epochs: int = number(10, "passes over the training split", 1)
    learning_rate: float = number(0.2, "per step of plain SGD, for the whole batch", 0)
    width: int = number(128, "channels of each of the two hidden layers", 1, 2**16)


RECIPE = Recipe(
    name="digits-mlp",
    title="1,797 digits of 8 × 8 pixels on a 64-128-128-10 network; about a second a trial",
    numbers=DigitsNumbers,
    run="trainers.recipes.digits_mlp:run",
    build="trainers.recipes.digits_mlp:build",
    load="trainers.data.digits:load",
    bundled=1295,
    spatial=False,
    widths=lambda numbers: (numbers.width, numbers.width),
)
