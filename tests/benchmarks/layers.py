"""The layers against torch's own BatchNorm and against the public ways to the same arithmetic, forward and backward.

Every figure is a ratio of lower quartiles over alternating repetitions in one run: one thread, float32.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from functools import partial
from statistics import median
from time import perf_counter

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from seqnorm import BatchNorm, GhostNorm, SeqNorm, convert

GM, GC = 8, 4
SHAPES = [(128, 64, 32, 32), (64, 640, 8, 8), (512, 160, 8, 8), (128, 128, 16, 16)]
LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}
REPETITIONS = 40

Step = Callable[[], None]


def lower_quartiles(*steps: Step, repetitions: int = REPETITIONS) -> list[float]:
    """Time each step in turn, again and again; return each one's lower quartile in milliseconds.

    The order is drawn anew for every repetition: what a step leaves in caches and heap moved the next one by 20 %.
    """
    times: list[list[float]] = [[] for _ in steps]
    order = list(zip(steps, times, strict=True))
    shuffle = random.Random(0).shuffle
    for repetition in range(repetitions + 3):
        shuffle(order)
        for step, taken in order:
            start = perf_counter()
            step()
            if repetition >= 3:  # the first ones compile, and fill caches
                taken.append(1e3 * (perf_counter() - start))
    return [sorted(taken)[len(taken) // 4] for taken in times]


def forward_and_backward(norm: Callable[[Tensor], Tensor], input: Tensor, upstream: Tensor) -> Step:
    """Return a step that takes the gradients for the input and, where there are some, the layer's parameters."""
    inputs = [input, *(norm.parameters() if isinstance(norm, nn.Module) else [])]

    def step() -> None:
        torch.autograd.grad(norm(input), inputs, upstream)

    return step


class TorchBatchNorm(nn.BatchNorm2d):
    """``F.batch_norm`` with everything that training uses, for inputs of any dimension."""

    def _check_input_dim(self, input: Tensor) -> None:
        pass


class GroupNormThen(nn.Module):
    """torch's GroupNorm, then another norm."""

    def __init__(self, num_channels: int, then: nn.Module) -> None:
        super().__init__()
        self.group_norm = nn.GroupNorm(GC, num_channels, affine=False)
        self.then = then

    def forward(self, input: Tensor) -> Tensor:
        return self.then(self.group_norm(input))


class Figure4(nn.Module):
    """GhostNorm as the paper's Figure 4 prints it: one dimension for the groups, statistics by var and mean."""

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))

    def forward(self, input: Tensor) -> Tensor:
        grouped = input.reshape(GM, -1, input.shape[1], input[0, 0].numel())
        var, mean = torch.var_mean(grouped, dim=(1, 3), correction=0, keepdim=True)
        normalized = ((grouped - mean) / torch.sqrt(var + 1e-5)).reshape(input.shape)
        return normalized * self.weight[:, None, None] + self.bias[:, None, None]


class Chunks(nn.Module):
    """GhostNorm as a loop of one BatchNorm over chunks of the batch, as tabnet and composer have it."""

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.batch_norm = TorchBatchNorm(num_channels)

    def forward(self, input: Tensor) -> Tensor:
        return torch.cat([self.batch_norm(chunk) for chunk in input.chunk(GM)])


def data(shape: tuple[int, ...], layout: str) -> tuple[Tensor, Tensor]:
    """Draw an input and an upstream gradient."""
    memory_format = LAYOUTS[layout] if len(shape) == 4 else torch.contiguous_format
    input = torch.randn(shape).to(memory_format=memory_format).requires_grad_()
    return input, torch.randn(shape).to(memory_format=memory_format)


def figure(name: str, ratios: list[float], bound: str) -> None:
    """Print one row of the table: a ratio per shape."""
    print(f"| {name} | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} | {median(ratios):.2f} | {bound} |", flush=True)


def per_shape(layout: str, *norms: Callable[[int], nn.Module], compiled: bool = False) -> list[list[float]]:
    """Return, for each norm, its time over torch's BatchNorm on each shape."""
    ratios: list[list[float]] = [[] for _ in norms]
    for shape in SHAPES:
        input, upstream = data(shape, layout)
        layers = [norm(shape[1]) for norm in norms]
        if compiled:
            torch.compiler.reset()
            layers = [torch.compile(layer, fullgraph=True, dynamic=False) for layer in layers]
        steps = [forward_and_backward(layer, input, upstream) for layer in (TorchBatchNorm(shape[1]), *layers)]
        base, *times = lower_quartiles(*steps)
        for taken, of_norm in zip(times, ratios, strict=True):
            of_norm.append(taken / base)
    return ratios


def main() -> None:
    """Print the table."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    ghost, seq = partial(GhostNorm, gm=GM), partial(SeqNorm, gc=GC, gm=GM)
    print(f"Forward and backward, float32, one thread, gm {GM}, gc {GC}; times over eager F.batch_norm, same layout.\n")
    print(f"| layer | {' | '.join(str(shape) for shape in SHAPES)} | median | bound |")
    print(f"|---|{'---|' * len(SHAPES)}---|---|")
    for name, ratios in zip(("GhostNorm", "SeqNorm"), per_shape("NCHW", ghost, seq, compiled=True), strict=True):
        figure(f"{name}, compiled, NCHW", ratios, "≤ 0.9")
    everyone = {
        "BatchNorm": (BatchNorm, ""),
        "GhostNorm": (ghost, "≤ 1.5, median ≤ 1.2"),
        "SeqNorm": (seq, "≤ 1.5, median ≤ 1.2"),
        "torch GroupNorm + Figure 4": (lambda c: GroupNormThen(c, Figure4(c)), ""),
        "torch GroupNorm + chunks": (lambda c: GroupNormThen(c, Chunks(c)), ""),
    }
    for layout in LAYOUTS:
        ratios = dict(zip(everyone, per_shape(layout, *(norm for norm, _ in everyone.values())), strict=True))
        for name, (_, bound) in everyone.items():
            figure(f"{name}, eager, {layout}", ratios[name], bound if layout == "NCHW" or not bound else "≤ 1.8")
        for name, bound in (("Figure 4", "≥ 4"), ("chunks", "> 1")):
            slower = [
                theirs / ours
                for theirs, ours in zip(ratios[f"torch GroupNorm + {name}"], ratios["SeqNorm"], strict=True)
            ]
            figure(f"torch GroupNorm + {name} over our SeqNorm, eager, {layout}", slower, bound)
    fully_connected()
    whole_network()
    torch.set_num_threads(threads)


def fully_connected() -> None:
    """Compare on (512, 512) with torch's GroupNorm, then BatchNorm."""
    input, upstream = data((512, 512), "NCHW")
    layers = GroupNormThen(512, TorchBatchNorm(512)), SeqNorm(512, gc=GC, gm=GM)
    base, ours = lower_quartiles(*(forward_and_backward(layer, input, upstream) for layer in layers))
    print(f"\nSeqNorm on (512, 512), eager, over torch's GroupNorm then BatchNorm: {ours / base:.2f} (bound 1.3)")


def whole_network() -> None:
    """Compare whole training steps of ResNet-18."""
    batch_norms = torchvision.models.resnet18()
    images, labels = torch.randn(32, 3, 112, 112), torch.randint(1000, (32,))

    def training(model: nn.Module) -> Step:
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)

        def step() -> None:
            optimizer.zero_grad()
            F.cross_entropy(model(images), labels).backward()
            optimizer.step()

        return step

    seq_norms = copy.deepcopy(batch_norms)
    report = convert(seq_norms, partial(SeqNorm, gc=GC, gm=GM))
    assert len(report.swapped) == 20
    base, ours = lower_quartiles(training(batch_norms), training(seq_norms), repetitions=30)
    print(
        f"ResNet-18, a whole training step on (32, 3, 112, 112), SeqNorm over BatchNorm: {ours / base:.3f} (bound 1.05)"
    )
