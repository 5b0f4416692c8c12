"""The training loop, as plain functions."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn

from seqnorm import average_running_statistics, standardize_weights
from trainers.augment.augmentation import Augmentation
from trainers.checkpoint import Checkpoint
from trainers.data.memory import InMemory
from trainers.data.source import Source
from trainers.data.split import Images
from trainers.data.standard import Standard
from trainers.devices import Place, train_on_devices
from trainers.mixup import mixed
from trainers.models.mlp import NormFactory
from trainers.norms import norm_of
from trainers.run import Run
from trainers.schedules import Schedule
from trainers.step import Step, make_optimizer, make_scaler
from trainers.trial import Diverged, Params, Report, Result, chance_limit

LOOKS = 64  #: steps between two looks at whether the loss is finite, each of which waits for the device

# torch 2.15 has another name for it
SYNC = "forward_sync_buffers"
KNOWN = inspect.signature(nn.parallel.DistributedDataParallel).parameters
BUFFERS_APART: dict[str, Any] = {SYNC if SYNC in KNOWN else "broadcast_buffers": False}

Build = Callable[[Any, tuple[int, int, int], int, NormFactory], nn.Module]


def one_epoch(numbers: Any) -> int:
    """Let a network guess in its first epoch."""
    return 1


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a recipe brings: functions of modules, as other processes must find them."""

    build: Build  #: ``build(numbers, shape, classes, norm) -> network``
    schedule: Callable[[Any, int], Schedule]  #: ``schedule(numbers, steps of an epoch)``
    standard: Standard | None = None  #: what inputs are standardised by; None for the training split's own
    warmup: Callable[[Any], int] = one_epoch  #: epochs in which a network may still guess

    def run(self, params: Params, report: Report) -> Result:
        """Train one trial on its devices."""
        return train_on_devices(self.train, params, report)

    def train(self, params: Params, report: Report, place: Place) -> Result:
        """Train in one process."""
        return train(self, params, report, place)


def train(task: Task, params: Params, report: Report, place: Place) -> Result:
    """Train, report every epoch, and measure the split that was asked for.

    Goes on from the checkpoint in ``params.folder`` if there is one, and ends with the same bits as if it had never
    been cut. A trial that had ended, and whose result was lost, is answered from its checkpoint without training.

    Raises:
        Diverged: soon after a loss that is not finite, or at the end of an epoch in which the network only guesses.
    """
    numbers = params.numbers
    source = source_of(task, params, place)
    torch.manual_seed(params.seed)
    network = make_network(task.build, params, source.shape, source.classes).to(place.device)
    optimizer, scaler = make_optimizer(network, numbers, place), make_scaler(numbers, place)
    run = Run(
        network=network,
        optimizer=optimizer,
        scaler=scaler,
        source=source,
        checkpoint=Checkpoint(params.folder),
        checkpoint_seconds=params.checkpoint_seconds,
        made_by=made_by(params, source),
        measure=params.measure,
        keeps=place.leads,
    )
    if (result := run.restore()) is not None:
        return result
    step = Step(network, as_run(network, numbers, place), optimizer, scaler, numbers, place)
    schedule = task.schedule(numbers, source.steps)
    for epoch in range(run.epoch + 1, numbers.epochs + 1):
        start = time.perf_counter()
        train_loss = train_epoch(step, source, schedule, epoch, params, place)
        if place.devices > 1:
            average_running_statistics(network)
        run.end_epoch(epoch)
        if not place.leads:
            continue
        loss, accuracy = evaluate(network, source, "validation")
        if epoch > task.warmup(numbers):
            check_learning(train_loss, accuracy, source, epoch)
        figures = {"train_loss": train_loss, "validation_loss": loss, "validation_accuracy": accuracy}
        figures |= {"learning_rate": schedule(epoch * source.steps - 1)}
        if params.measure == "test" and epoch == numbers.epochs and len(source.test_sets) > 1:
            figures |= {f"{name}_accuracy": evaluate(network, source, name)[1] for name in source.test_sets}
        if params.walk:
            params.walk.end_epoch(1 - evaluate(network, source, source.test_sets[0])[1])
        run.keep()
        with run.saved_if_stopped():
            report(epoch=epoch, **figures, seconds=time.perf_counter() - start)
    if not place.leads:
        return Result(value=math.nan)
    splits = source.test_sets if params.measure == "test" else ("validation",)
    accuracies = [evaluate(network, source, split)[1] for split in splits]
    samples = sum(source.samples(split) for split in splits)
    result = Result(value=sum(accuracies) / len(splits), samples=samples, classes=source.classes)
    run.end(result)
    return result


def source_of(task: Task, params: Params, place: Place) -> Source:
    """Return the batches of a trial."""
    numbers, data = params.numbers, params.data
    if isinstance(data, Images):
        return InMemory(
            data,
            batch=numbers.batch,
            place=place,
            seed=params.seed,
            augmentation=augmentation_of(numbers),
            standard=task.standard,
            channels_last=getattr(numbers, "channels_last", False),
        )
    from trainers.data.stream import make_stream

    return make_stream(data, numbers, place.device, params.seed, place.rank, place.devices)


def augmentation_of(numbers: Any) -> Augmentation | None:
    """Return what is done to training images; None for nothing."""
    names = ("flip", "pad", "cutout", "randaugment_n", "randaugment_m", "magnitude_max")
    asked = {name: getattr(numbers, name) for name in names if hasattr(numbers, name)}
    if not any(asked.get(name) for name in ("flip", "pad", "cutout", "randaugment_n")):
        return None
    return Augmentation(**asked)


def make_network(build: Build, params: Params, shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Build a trial's network with its norms; initial weights follow from torch's generator."""
    network = build(params.numbers, shape, classes, norm_of(params))
    if params.numbers.standardize_weights:
        standardize_weights(network)
    if getattr(params.numbers, "channels_last", False):
        network.to(memory_format=torch.channels_last)
    return network


def as_run(network: nn.Module, numbers: Any, place: Place) -> nn.Module:
    """Return the network as training calls it."""
    if place.devices > 1:
        ids = [place.device.index] if place.device.type == "cuda" else None
        network = nn.parallel.DistributedDataParallel(network, device_ids=ids, **BUFFERS_APART)
    return torch.compile(network) if numbers.compile else network  # type: ignore[return-value]


def made_by(params: Params, source: Source) -> dict[str, Any]:
    """Say what a checkpoint belongs to."""
    return {
        "recipe": params.recipe,
        "numbers": asdict(params.numbers),
        "gm": params.gm,
        "gc": params.gc,
        "normalize": params.normalize,
        "seed": params.seed,
        "shape": list(source.shape),
        "classes": source.classes,
        "standard": [list(of) for of in source.standard],
    }


def train_epoch(step: Step, source: Source, schedule: Schedule, epoch: int, params: Params, place: Place) -> float:
    """Make one pass and return the mean loss of its steps.

    Raises:
        Diverged: if it is not finite.
    """
    step.model.train()
    # dropout and noise, so that they do not depend on where the run was cut
    torch.manual_seed(hash((params.seed, epoch, place.rank)) % 2**63)
    take = params.walk.around(step) if params.walk else step
    total, first = torch.zeros((), device=place.device), (epoch - 1) * source.steps
    for number, (inputs, labels) in enumerate(source.training(epoch)):
        if getattr(params.numbers, "mixup", 0):
            inputs, labels = mixed(inputs, labels, source.classes, params.numbers.mixup)
        total += take(inputs, labels, schedule(first + number))
        if (number + 1) % LOOKS == 0:
            check_finite(over_devices(total, place).item(), epoch)
    return check_finite((over_devices(total, place) / source.steps).item(), epoch)


def over_devices(loss: Tensor, place: Place) -> Tensor:
    """Return the mean of a number over the trial's devices, the same on all of them."""
    if place.devices == 1:
        return loss
    mean = loss.clone()
    distributed.all_reduce(mean)
    return mean / place.devices


def check_finite(loss: float, epoch: int) -> float:
    """Return a loss that is finite.

    Raises:
        Diverged: for one that is not.
    """
    if not math.isfinite(loss):
        raise Diverged(f"the training loss is {loss} in epoch {epoch}")
    return loss


def check_learning(train_loss: float, accuracy: float, source: Source, epoch: int) -> None:
    """Refuse a network that does no better than one that says the same of every image, in training and validation.

    Either alone is no proof: validation runs on averages that a short epoch has hardly moved.

    Raises:
        Diverged: for such a network.
    """
    limit = chance_limit(source.classes, source.samples("validation"))
    if train_loss >= math.log(source.classes) and accuracy <= limit:
        raise Diverged(
            f"the network guesses in epoch {epoch}: its training loss {train_loss:.4f} is no lower than "
            f"log({source.classes}) = {math.log(source.classes):.4f}, and its accuracy {accuracy:.4f} not above "
            f"{limit:.4f}, which is chance"
        )


@torch.no_grad()
def evaluate(network: nn.Module, source: Source, split: str) -> tuple[float, float]:
    """Return the mean cross-entropy and the accuracy over a split."""
    network.eval()
    loss: Tensor | float = 0.0
    correct: Tensor | int = 0
    for inputs, labels in source.evaluation(split):
        logits = network(inputs).float()
        loss = loss + F.cross_entropy(logits, labels, reduction="sum")
        correct = correct + (logits.argmax(dim=1) == labels).sum()
    samples = source.samples(split)
    return float(loss) / samples, float(correct) / samples
