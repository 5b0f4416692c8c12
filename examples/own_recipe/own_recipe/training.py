"""The training code of the recipe: network and learning rate. The training loop is seqnorm's."""

from __future__ import annotations

from typing import Any

from torch import nn

from trainers.loop import Task
from trainers.models.mlp import NormFactory
from trainers.schedules import Schedule, warmup_cosine


def build(numbers: Any, shape: tuple[int, int, int], classes: int, norm: NormFactory) -> nn.Module:
    """Build the network; ``norm(channels)`` makes the layer for a trial's gm and gc."""
    return nn.Sequential(
        *(nn.Conv2d(shape[0], numbers.width, 3, stride=2, bias=False), norm(numbers.width), nn.ReLU()),
        *(nn.Conv2d(numbers.width, numbers.width, 3, bias=False), norm(numbers.width), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(numbers.width, classes)),
    )


def schedule(numbers: Any, steps: int) -> Schedule:
    """Return the learning rate as a function of the step: up for an epoch of ``steps``, then a cosine to 0."""
    return warmup_cosine(0.0, numbers.learning_rate, steps, numbers.epochs * steps)


run = Task(build=build, schedule=schedule).run  # Task handles splits, seeds, checkpoints, devices and reports
