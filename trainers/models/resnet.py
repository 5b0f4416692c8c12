"""ResNets of basic blocks for small and for large images, under torchvision's names.

Names matter: NVIDIA's recipe exempts parameters with ``bn`` in their names from weight decay, so the norms of the
shortcuts (``downsample.1``) are decayed.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from trainers.models.mlp import NormFactory
from trainers.widths import CIFAR_STAGES, IMAGENET_STAGES, check_blocks, cifar_resnet_blocks


class BasicBlock(nn.Module):
    """Two 3×3 convolutions with norms, and a shortcut around them: ``(M, C, H, W)`` to ``(M, width, H', W')``.

    Args:
        inputs: C, channels of the input.
        width: channels of the output.
        stride: of the first convolution.
        downsample: the shortcut if the shape changes; None for the identity.
        norm: makes the normalization layers.
        dropout: probability, between the two convolutions.
    """

    def __init__(
        self, inputs: int, width: int, stride: int, downsample: nn.Module | None, norm: NormFactory, dropout: float
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False)
        self.bn1 = norm(width)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = norm(width)
        self.downsample = downsample

    def forward(self, input: Tensor) -> Tensor:
        """Map ``(M, C, H, W)`` to the sum of the convolutions' output and the shortcut."""
        output = self.conv1(input)
        output = F.relu(self.bn1(output))
        output = self.conv2(self.dropout(output))
        output = self.bn2(output)
        shortcut = input if self.downsample is None else self.downsample(input)
        return F.relu(output + shortcut)


class PaddedShortcut(nn.Module):
    """He's option A, without parameters: subsample the pixels, pad the new channels with zeros."""

    def __init__(self, stride: int, new_channels: int) -> None:
        super().__init__()
        self.stride = stride
        self.new_channels = new_channels

    def forward(self, input: Tensor) -> Tensor:
        """Turn ``(M, C, H, W)`` into ``(M, C + new_channels, ⌈H / stride⌉, ⌈W / stride⌉)``."""
        kept = input[:, :, :: self.stride, :: self.stride]
        return F.pad(kept, (0, 0, 0, 0, 0, self.new_channels))


def cifar_resnet(
    depth: int, width: int, classes: int, channels: int, norm: NormFactory, dropout: float = 0.0
) -> nn.Sequential:
    """Build He's ResNet for small images (He et al., 2015, section 4.2); depth 56 and width 16 are the paper's (A.2).

    The paper does not specify the shortcuts: here He's option A, new channels last as in fb.resnet.torch. Nor the
    initialization: here He's normal by fan-out for convolutions, torch's default for the classifier.

    Args:
        depth: 6n + 2: a stem, three stages of n blocks, a classifier.
        width: channels of the stem and the first stage; each later stage has twice as many.
        classes: of the output ``(M, classes)``.
        channels: C of the input ``(M, C, H, W)``.
        norm: makes the normalization layers.
        dropout: probability, in each block between its convolutions.

    Raises:
        RecipeError: if the depth is not 6n + 2.
    """
    blocks = cifar_resnet_blocks(depth)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["conv1"] = nn.Conv2d(channels, width, 3, padding=1, bias=False)
    layers["bn1"] = norm(width)
    layers["relu"] = nn.ReLU()
    inputs = width
    for number in range(CIFAR_STAGES):
        outputs = width * 2**number
        stride = 1 if number == 0 else 2
        shortcut = None if number == 0 else PaddedShortcut(stride, outputs - inputs)
        layers[f"layer{number + 1}"] = stage(blocks, inputs, outputs, stride, shortcut, norm, dropout)
        inputs = outputs
    return with_classifier(layers, inputs, classes, "fan_out")


def imagenet_resnet(
    blocks: int, width: int, classes: int, channels: int, norm: NormFactory, dropout: float = 0.0
) -> nn.Sequential:
    """Build a ResNet for large images; 2 blocks and width 64 are torchvision's ResNet-18 except initialization.

    Version 1.5 moves the stride only in bottlenecks, so it is the same here. Initialization is NVIDIA's ``-c fanin``
    (DeepLearningExamples, ConvNets/image_classification/resnet.py): He's normal by fan-in for convolutions, weight 1
    also for the last norm of a block, torch's default for the classifier.

    Args:
        blocks: in each of four stages.
        width: channels of the stem and the first stage; each later stage has twice as many.
        classes: of the output ``(M, classes)``.
        channels: C of the input ``(M, C, H, W)``; 32 × 32 pixels are reduced to 1 × 1.
        norm: makes the normalization layers.
        dropout: probability, in each block between its convolutions.

    Raises:
        RecipeError: if ``blocks`` is out of range.
    """
    check_blocks(blocks)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["conv1"] = nn.Conv2d(channels, width, 7, stride=2, padding=3, bias=False)
    layers["bn1"] = norm(width)
    layers["relu"] = nn.ReLU()
    layers["maxpool"] = nn.MaxPool2d(3, stride=2, padding=1)
    inputs = width
    for number in range(IMAGENET_STAGES):
        outputs = width * 2**number
        stride = 1 if number == 0 else 2
        shortcut = None
        if number > 0:
            shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), norm(outputs))
        layers[f"layer{number + 1}"] = stage(blocks, inputs, outputs, stride, shortcut, norm, dropout)
        inputs = outputs
    return with_classifier(layers, inputs, classes, "fan_in")


def stage(
    blocks: int,
    inputs: int,
    width: int,
    stride: int,
    shortcut: nn.Module | None,
    norm: NormFactory,
    dropout: float,
) -> nn.Sequential:
    """Chain blocks of one width; the first has the stride and its shortcut."""
    first = BasicBlock(inputs, width, stride, shortcut, norm, dropout)
    return nn.Sequential(first, *(BasicBlock(width, width, 1, None, norm, dropout) for _ in range(blocks - 1)))


def with_classifier(
    layers: OrderedDict[str, nn.Module], inputs: int, classes: int, fan: Literal["fan_in", "fan_out"]
) -> nn.Sequential:
    """Add pooling and a linear classifier, and initialize the convolutions by He's rule."""
    layers["avgpool"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["fc"] = nn.Linear(inputs, classes)
    network = nn.Sequential(layers)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode=fan, nonlinearity="relu")
    return network
