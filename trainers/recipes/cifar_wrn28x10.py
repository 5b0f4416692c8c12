"""cifar10-wrn28x10 and cifar100-wrn28x10: Wide-ResNet-28-10 (paper 3.2, Tables 1 and 2, A.3).

The paper reports, as mean and spread of two runs on 8 GPUs of 64 images each, validation / test accuracy in percent:

    CIFAR-100  BatchNorm 80.6 / 82.1   GhostNorm (gm 8) 81.4 / 82.8   SeqNorm (gc 4, gm 8) 82.5 / 83.8
               noisy BatchNorm (σ 3e-4) 80.8 / 82.0
               with RandAugment (N, M): (1, 6) 81.4 / 82.9   (1, 14) 82.3 / 83.5   (1, 4) 82.4 / 83.8
    CIFAR-10   BatchNorm 96.6 / 97.1   GhostNorm (gm 4) 96.7 / 97.3   SeqNorm (gc 16, gm 8) 96.8 / 97.4

Its spaces: gm 2, 4, 8, 16 and gc 1, 2, 4, 8, 16 per device; RandAugment's N 1, 2 and M 2, 6, 10, 14 (its best M for
SeqNorm, 4, is not among them); σ 3e-5 to 0.1; dropout 0.03 to 0.4; A.4 without improvement: ghost_first, shared_var,
standardize_weights.

What the paper leaves open, and what is done here. Optimizer, decay on every parameter and augmentation are those of
Cubuk et al. (2019), to which it refers: Nesterov 0.9, pad and crop after standardising with CIFAR-10's figures, also
for CIFAR-100, Cutout 16 on both. No clipping (clip=5 is Cubuk's). Crops reach the last offset, which Cubuk's miss.
RandAugment is torchvision's: 14 operations, M of 30. The network is that of Zagoruyko & Komodakis with 1 × 1 shortcuts,
every norm replaced. The result is that of the last epoch. Test figures are of the network trained on the 45,000 images.

No full-size run has been made here; small runs on CPUs are in the tests.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from trainers.data.standardizer import Standardizer
from trainers.loop import Task
from trainers.models.mlp import NormFactory
from trainers.models.wide_resnet import wide_resnet
from trainers.schedules import Schedule, warmup_cosine
from trainers.trial import Params, Report, Result

# CIFAR-10's, which Cubuk's code also uses for CIFAR-100
CIFAR10 = Standardizer(
    mean=tuple(255 * value for value in (0.49139968, 0.48215841, 0.44653091)),
    std=tuple(255 * value for value in (0.24703223, 0.24348513, 0.26158784)),
)


def build(numbers: Any, shape: tuple[int, int, int], classes: int, norm: NormFactory) -> nn.Module:
    """Build Wide-ResNet-28-10."""
    return wide_resnet(numbers.depth, numbers.width, classes, shape[0], norm, numbers.dropout)


def schedule(numbers: Any, steps: int) -> Schedule:
    """Warm up over five epochs to four times the rate, then a cosine to 0."""
    start, peak = numbers.learning_rate, numbers.learning_rate * numbers.warmup_factor
    return warmup_cosine(start, peak, numbers.warmup_epochs * steps, numbers.epochs * steps)


def warmup(numbers: Any) -> int:
    """Return the epochs in which accuracy may still be at chance."""
    return max(1, int(numbers.warmup_epochs))


TASK = Task(build=build, schedule=schedule, warmup=warmup)
COLOURED = Task(build=build, schedule=schedule, warmup=warmup, standardizer=CIFAR10)


def run(params: Params, report: Report) -> Result:
    """Train Wide-ResNet-28-10."""
    return (COLOURED if params.data.shape == (3, 32, 32) else TASK).run(params, report)
