"""digits-mlp: ours, for trying things out, without figures in the paper."""

from __future__ import annotations

from typing import Any

from torch import nn

from trainers.loop import Task
from trainers.models.mlp import NormFactory, mlp
from trainers.schedules import Schedule, constant
from trainers.trial import Params, Report, Result


def build(numbers: Any, shape: tuple[int, int, int], classes: int, norm: NormFactory) -> nn.Module:
    """Build 64-128-128-10."""
    channels, height, width = shape
    return mlp(channels * height * width, (numbers.width, numbers.width), classes, norm, numbers.dropout)


def schedule(numbers: Any, steps: int) -> Schedule:
    """Keep the learning rate constant."""
    return constant(numbers.learning_rate)


TASK = Task(build=build, schedule=schedule)


def run(params: Params, report: Report) -> Result:
    """Train with plain SGD."""
    return TASK.run(params, report)
