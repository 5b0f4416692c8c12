"""The user's own images on any model of torchvision or timm."""

from __future__ import annotations

from dataclasses import dataclass

from trainers.descriptors.numbers import ImageNumbers
from trainers.recipe import Recipe, number


@dataclass(frozen=True, kw_only=True)
class OwnNumbers(ImageNumbers):
    """A recipe of our own: SGD with warmup and cosine decay; not in the paper."""

    model: str = number("torchvision:resnet18", "torchvision:NAME or timm:NAME")
    batch: int = number(128, "samples per step", 1)
    epochs: int = number(30, "passes over the training split", 1)
    learning_rate: float = number(0.1, "at the end of the warmup", 0)
    warmup_epochs: int = number(2, "epochs of linear warmup from 0, then a cosine to 0", 0, 100_000)
    momentum: float = number(0.9, "of SGD", 0, 1)
    nesterov: bool = number(True, "whether the momentum is Nesterov's")
    weight_decay: float = number(5e-4, "L2, added to the gradient of every parameter", 0)
    flip: bool = number(True, "whether to mirror images left to right with probability one half")
    pad: int = number(4, "pixels of zero padding before a random crop of the image's size", 0, 1024)
    image_size: int = number(64, "side of images read from a folder, in pixels", 8, 4096, of_data=True)


RECIPE = Recipe(
    name="images",
    title="your own images on any model of torchvision or timm (--data, --model)",
    numbers=OwnNumbers,
    run="trainers.recipes.images:run",
    build="trainers.recipes.images:build",
    check="trainers.recipes.images:check",
    load="trainers.data.own:load",
    identify_data="trainers.data.own:identify",
    check_data="trainers.data.own:check",
    data="an .npz file or an image folder; needed",
    widths=lambda numbers: None,
)
