"""mnist-simplenet: 784-512-300-10 on MNIST, and the loss landscape of Figures 2 and 6 (paper A.2).

The paper reports curves only: best at gm 64, groups of 8, on the full set and a single GPU. It does not give epochs,
momentum, weight decay and initialization; here 30, none, none and torch's defaults. Inputs are standardised by one mean
and one variance over all training pixels; a norm follows each hidden layer, before its ReLU. The landscape's learning
rates 0.1 to 0.8 are a quarter of the rate to twice the rate."""

from __future__ import annotations

from typing import Any

from torch import nn

from trainers.descriptors.mnist_simplenet import WIDTHS
from trainers.loop import Task
from trainers.models.mlp import NormFactory, mlp
from trainers.schedules import Schedule, constant
from trainers.trial import Params, Report, Result


def build(numbers: Any, shape: tuple[int, int, int], classes: int, norm: NormFactory) -> nn.Module:
    """Build SimpleNet."""
    channels, height, width = shape
    return mlp(channels * height * width, WIDTHS, classes, norm, numbers.dropout)


def schedule(numbers: Any, steps: int) -> Schedule:
    """Keep the learning rate constant."""
    return constant(numbers.learning_rate)


TASK = Task(build=build, schedule=schedule)


def run(params: Params, report: Report) -> Result:
    """Train SimpleNet with plain SGD at a constant learning rate."""
    return TASK.run(params, report)
