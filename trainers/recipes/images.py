"""images: the user's own images on a model of torchvision or timm; ours, without figures in the paper."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from trainers.loop import Task
from trainers.models.mlp import NormFactory
from trainers.models.named import named_model
from trainers.norms import make_norm_factory
from trainers.schedules import Schedule, warmup_cosine
from trainers.trial import Params, Report, Result


def build(numbers: Any, shape: tuple[int, int, int], classes: int, norm: NormFactory) -> nn.Module:
    """Build the model named in the numbers, with every BatchNorm replaced."""
    return named_model(numbers.model, classes, shape[0], norm)


def schedule(numbers: Any, steps: int) -> Schedule:
    """Warm up from 0, then a cosine to 0."""
    return warmup_cosine(0.0, numbers.learning_rate, numbers.warmup_epochs * steps, numbers.epochs * steps)


def warmup(numbers: Any) -> int:
    """Return the epochs in which accuracy may still be at chance."""
    return max(1, int(numbers.warmup_epochs))


TASK = Task(build=build, schedule=schedule, warmup=warmup)


def check(numbers: Any, data: Any, gc: int) -> None:
    """Check that the model exists and that its layers can have ``gc`` groups.

    Raises:
        RecipeError: before anything is trained.
    """
    params = Params(gm=1, gc=gc, seed=0, numbers=numbers)
    with torch.random.fork_rng(devices=[]):
        build(numbers, data.shape, data.classes, make_norm_factory(params))


def run(params: Params, report: Report) -> Result:
    """Train the model."""
    return TASK.run(params, report)
