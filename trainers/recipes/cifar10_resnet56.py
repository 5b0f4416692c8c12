"""cifar10-resnet56: super-convergence, and the loss landscape of Figures 3 and 7 (paper A.2).

The paper reports curves only: with gm 16, 32, 64 and 128 GhostNorm's landscape is rougher than BatchNorm's, and every
gm above 1 ends with a lower test error. The learning rate is piecewise linear: 0.1 to 3 in 15 epochs, back in 15, then
to 0.003 in 10; without normalization (0.1, 1), which is ``peak_factor=10``. Plain SGD without momentum, decay 1e-4.

What the paper leaves open: the batch is 512, because gm 128 leaves groups of 4 samples; shortcuts are He's option A;
the floor without normalization is the same share of its start. Smith & Topin's own recipe has momentum 0.9. The paper
trains on all 50,000 images; here 45,000 are for training and 5,000 for validation, which a search needs.

No full-size run has been made here; small runs on CPUs are in the tests.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from trainers.loop import Task
from trainers.models.mlp import NormFactory
from trainers.models.resnet import cifar_resnet
from trainers.schedules import Schedule, one_cycle
from trainers.trial import Params, Report, Result

CYCLE_EPOCHS = 40  #: of the paper's cycle


def build(numbers: Any, shape: tuple[int, int, int], classes: int, norm: NormFactory) -> nn.Module:
    """Build ResNet-56."""
    return cifar_resnet(numbers.depth, numbers.width, classes, shape[0], norm, numbers.dropout)


def schedule(numbers: Any, steps: int) -> Schedule:
    """One cycle: up, down, and on to the floor."""
    low, share = numbers.learning_rate, share_of_cycle(numbers)
    up, down = (round(share * epochs * steps) for epochs in (numbers.up_epochs, numbers.down_epochs))
    return one_cycle(low, low * numbers.peak_factor, low * numbers.floor_factor, up, down, numbers.epochs * steps)


def warmup(numbers: Any) -> int:
    """Return the epochs in which accuracy may still be at chance: those of the rise."""
    return max(1, int(share_of_cycle(numbers) * numbers.up_epochs))


def share_of_cycle(numbers: Any) -> float:
    """Return the factor that shortens the cycle for fewer than 40 epochs."""
    return min(1.0, float(numbers.epochs) / CYCLE_EPOCHS)


TASK = Task(build=build, schedule=schedule, warmup=warmup)


def run(params: Params, report: Report) -> Result:
    """Train ResNet-56 with super-convergence."""
    return TASK.run(params, report)
