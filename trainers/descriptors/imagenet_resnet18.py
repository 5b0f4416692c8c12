"""ImageNet on ResNet-18 v1.5 by NVIDIA's recipe (paper 3.2, A.3)."""

from __future__ import annotations

from dataclasses import dataclass

from trainers.descriptors.numbers import ImageNumbers
from trainers.recipe import Recipe, number
from trainers.widths import MAX_BLOCKS, imagenet_resnet_widths


@dataclass(frozen=True, kw_only=True)
class ImageNetNumbers(ImageNumbers):
    """NVIDIA's script of 50 epochs, with the paper's clipping; ``epochs=250 mixup=0.2`` gives the longer one."""

    batch: int = number(2048, "samples per step, over all devices", 1)
    devices: int = number(8, "devices that the paper's gm counts per, of 256 samples each", 1)
    epochs: int = number(50, "passes over the training split; the paper tunes with 50 and retrains with 250", 1)
    learning_rate: float = number(2.048, "at the end of the warmup; constant within an epoch", 0)
    warmup_epochs: int = number(8, "epochs of warmup, then a cosine to 0", 0, 100_000)
    momentum: float = number(0.875, "of SGD", 0, 1)
    weight_decay: float = number(1 / 32768, "L2, added to the gradient", 0)
    decay_norms: bool = number(False, "whether parameters named *bn* are decayed")
    label_smoothing: float = number(0.1, "label smoothing: share of the label spread over all classes", 0, 1)
    clip: float = number(2.0, "largest L2 norm of the whole gradient (the paper's addition)", 0)
    precision: str = number("fp16", "of forward and backward pass", choices=("fp32", "bf16", "fp16"))
    loss_scale: float = number(128.0, "of fp16; 0 adapts it", 0)
    image_size: int = number(224, "side of the crops, in pixels", 8, 4096, of_data=True)
    workers: int = number(8, "DataLoader workers", 0, 256)
    loader: str = number("auto", "decoder of the images", choices=("auto", "torchvision", "dali"))
    imagenet_v2: bool = number(
        True, "whether to test on ImageNetV2's three sets instead of the validation set", of_data=True
    )
    channels_last: bool = number(False, "whether to use the channels_last memory format")
    blocks: int = number(2, "residual blocks in each of the four stages", 1, MAX_BLOCKS)
    width: int = number(64, "channels of the first stage, doubled in each of the others", 1, 2**14)


RECIPE = Recipe(
    name="imagenet-resnet18",
    title="ImageNet on ResNet-18 v1.5, batch 8 × 256, 50 or 250 epochs (paper 3.2 and A.3)",
    numbers=ImageNetNumbers,
    run="trainers.recipes.imagenet_resnet18:run",
    build="trainers.recipes.imagenet_resnet18:build",
    load="trainers.data.imagenet:load",
    identify_data="trainers.data.imagenet:identify",
    check_data="trainers.data.imagenet:check",
    data="a folder with train, val and ImageNetV2's three; by default imagenet under the data folder",
    presets={"250-epochs": {"epochs": 250, "mixup": 0.2}},
    widths=lambda numbers: imagenet_resnet_widths(numbers.blocks, numbers.width),
)
