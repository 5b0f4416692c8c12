"""Wide ResNets (Zagoruyko & Komodakis, 2016), structured like xternalz/WideResNet-pytorch."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional as F

from trainers.models.mlp import NormFactory
from trainers.widths import CIFAR_STAGES, WIDE_STEM, wide_resnet_blocks


class WideBlock(nn.Module):
    """Norm, ReLU, convolution, twice, and a shortcut around them: ``(M, C, H, W)`` to ``(M, width, H', W')``.

    Args:
        inputs: C, channels of the input.
        width: channels of the output.
        stride: of the first convolution; if it is not 1, the width must change too.
        norm: makes the normalization layers.
        dropout: probability, between the two convolutions.
    """

    def __init__(self, inputs: int, width: int, stride: int, norm: NormFactory, dropout: float) -> None:
        super().__init__()
        self.bn1 = norm(inputs)
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.bn2 = norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(inputs, width, 1, stride, bias=False) if inputs != width else None

    def forward(self, input: Tensor) -> Tensor:
        """Map ``(M, C, H, W)`` to the sum of the convolutions' output and the shortcut."""
        # not in place: without normalization the norm's output is the input, which the shortcut needs
        active = F.relu(self.bn1(input))
        output: Tensor = self.dropout(self.conv1(active))
        output = self.conv2(F.relu(self.bn2(output)))
        shortcut: Tensor = input if self.shortcut is None else self.shortcut(active)
        return shortcut + output


def wide_resnet(
    depth: int, width: int, classes: int, channels: int, norm: NormFactory, dropout: float = 0.0
) -> nn.Sequential:
    """Build WRN-depth-width; WRN-28-10 is the paper's (A.3).

    Initialization is Cubuk's (tensorflow/models, research/autoaugment/custom_ops.py): convolutions normal with variance
    2 / (k² · outputs), the classifier uniform within 1 / √classes, its bias zero.

    Args:
        depth: 6n + 4: a stem, three stages of n blocks, and the convolutions of their shortcuts and the classifier.
        width: the factor on 16, 32 and 64 channels.
        classes: of the output ``(M, classes)``.
        channels: C of the input ``(M, C, H, W)``.
        norm: makes the normalization layers.
        dropout: probability, in each block between its convolutions.

    Raises:
        RecipeError: if the depth is not 6n + 4.
    """
    blocks = wide_resnet_blocks(depth)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["conv1"] = nn.Conv2d(channels, WIDE_STEM, 3, padding=1, bias=False)
    inputs = WIDE_STEM
    for number in range(CIFAR_STAGES):
        outputs = WIDE_STEM * width * 2**number
        first = WideBlock(inputs, outputs, 1 if number == 0 else 2, norm, dropout)
        others = (WideBlock(outputs, outputs, 1, norm, dropout) for _ in range(blocks - 1))
        layers[f"layer{number + 1}"] = nn.Sequential(first, *others)
        inputs = outputs
    layers["bn1"] = norm(inputs)
    layers["relu"] = nn.ReLU()
    layers["avgpool"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    classifier = nn.Linear(inputs, classes)
    layers["fc"] = classifier
    network = nn.Sequential(layers)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    bound = classes**-0.5
    nn.init.uniform_(classifier.weight, -bound, bound)
    nn.init.zeros_(classifier.bias)
    return network
