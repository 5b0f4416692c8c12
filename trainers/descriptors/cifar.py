"""CIFAR-10 and CIFAR-100 on Wide-ResNet-28-10 (paper 3.2, A.3), CIFAR-10 on ResNet-56 (paper A.2)."""

from __future__ import annotations

from dataclasses import dataclass

from trainers.descriptors.numbers import ImageNumbers
from trainers.recipe import Recipe, number
from trainers.widths import MAX_BLOCKS, cifar_resnet_widths, wide_resnet_widths

DATA = "an .npz file or an image folder, else {} under the data folder, which --download fetches"


@dataclass(frozen=True, kw_only=True)
class WideResNetNumbers(ImageNumbers):
    """The paper's numbers, and those of Cubuk et al. (2019) where the paper refers to them."""

    batch: int = number(512, "samples per step, over all devices", 1)
    devices: int = number(8, "devices that the paper's gm counts per, of 64 samples each", 1)
    epochs: int = number(200, "passes over the training split", 1)
    learning_rate: float = number(0.1, "before the warmup", 0)
    warmup_factor: float = number(4.0, "factor of the warmup on the learning rate", 0)
    warmup_epochs: int = number(5, "epochs of linear warmup; then a cosine to 0", 0, 100_000)
    momentum: float = number(0.9, "of SGD", 0, 1)
    nesterov: bool = number(True, "whether the momentum is Nesterov's")
    weight_decay: float = number(5e-4, "L2, added to the gradient of every parameter", 0)
    flip: bool = number(True, "whether to mirror images left to right with probability one half")
    pad: int = number(4, "pixels of zero padding before a random crop of the image's size", 0, 1024)
    cutout: int = number(16, "side of the square set to zero, in pixels", 0, 4096)
    depth: int = number(28, "layers, 6 n + 4", 10, 6 * MAX_BLOCKS + 4)
    width: int = number(10, "times 16, 32 and 64 channels", 1, 1024)


@dataclass(frozen=True, kw_only=True)
class ResNetNumbers(ImageNumbers):
    """The paper's numbers for super-convergence."""

    batch: int = number(512, "samples per step", 1)
    epochs: int = number(40, "passes over the training split", 1)
    learning_rate: float = number(0.1, "at the start of the cycle; reached again after it", 0)
    peak_factor: float = number(30.0, "factor of the cycle's peak on the learning rate", 0)
    floor_factor: float = number(0.03, "factor of the final learning rate on the initial one", 0)
    up_epochs: float = number(15.0, "epochs of the rise", 0)
    down_epochs: float = number(15.0, "epochs of the fall, before the final decay", 0)
    weight_decay: float = number(1e-4, "L2, added to the gradient of every parameter", 0)
    flip: bool = number(True, "whether to mirror images left to right with probability one half")
    pad: int = number(4, "pixels of zero padding before a random crop of the image's size", 0, 1024)
    depth: int = number(56, "layers, 6 n + 2", 8, 6 * MAX_BLOCKS + 2)
    width: int = number(16, "channels of the first stage, doubled in each of the others", 1, 2**14)


def wide_resnet_on(classes: int) -> Recipe:
    """Describe Wide-ResNet-28-10 on CIFAR-10 or CIFAR-100."""
    return Recipe(
        name=f"cifar{classes}-wrn28x10",
        title=f"CIFAR-{classes} on Wide-ResNet-28-10, batch 8 × 64, 200 epochs (paper 3.2 and A.3)",
        numbers=WideResNetNumbers,
        run="trainers.recipes.cifar_wrn28x10:run",
        build="trainers.recipes.cifar_wrn28x10:build",
        load=f"trainers.data.cifar:load{classes}",
        identify_data=f"trainers.data.cifar:identify{classes}",
        check_data=f"trainers.data.cifar:check{classes}",
        download=f"trainers.data.cifar:download{classes}",
        data=DATA.format(f"CIFAR-{classes}"),
        widths=lambda numbers: wide_resnet_widths(numbers.depth, numbers.width),
    )


WRN_CIFAR10 = wide_resnet_on(10)
WRN_CIFAR100 = wide_resnet_on(100)
RESNET56_CIFAR10 = Recipe(
    name="cifar10-resnet56",
    title="CIFAR-10 on ResNet-56 with super-convergence, batch 512, 40 epochs (paper A.2)",
    numbers=ResNetNumbers,
    run="trainers.recipes.cifar10_resnet56:run",
    build="trainers.recipes.cifar10_resnet56:build",
    load="trainers.data.cifar:load10",
    identify_data="trainers.data.cifar:identify10",
    check_data="trainers.data.cifar:check10",
    download="trainers.data.cifar:download10",
    data=DATA.format("CIFAR-10"),
    unnormalized={"peak_factor": 10.0},
    widths=lambda numbers: cifar_resnet_widths(numbers.depth, numbers.width),
)
