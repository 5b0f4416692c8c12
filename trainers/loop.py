"""The training loop as plain functions. Start reading at :func:`train`."""

from __future__ import annotations

import inspect
import math
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
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
from trainers.data.standardizer import Standardizer
from trainers.devices import TrainingProcess, train_on_devices
from trainers.mixup import mixup_batch
from trainers.models.mlp import NormFactory
from trainers.norms import make_norm_factory
from trainers.run import Run
from trainers.schedules import Schedule
from trainers.step import Step, make_optimizer, make_scaler
from trainers.trial import Diverged, Params, Report, Result, chance_limit

FINITE_CHECK_INTERVAL = 64  #: steps between checks for a finite loss, each of which synchronizes with the device

# torch 2.15 renamed the argument
SYNC_ARGUMENT = "forward_sync_buffers"
DDP_PARAMETERS = inspect.signature(nn.parallel.DistributedDataParallel).parameters
NO_BUFFER_SYNC: dict[str, Any] = {SYNC_ARGUMENT if SYNC_ARGUMENT in DDP_PARAMETERS else "broadcast_buffers": False}

Build = Callable[[Any, tuple[int, int, int], int, NormFactory], nn.Module]


def one_epoch(numbers: Any) -> int:
    """Allow accuracy at chance in the first epoch only."""
    return 1


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a recipe defines: module-level functions, which other processes can import."""

    build: Build  #: ``build(numbers, shape, classes, norm) -> network``
    schedule: Callable[[Any, int], Schedule]  #: ``schedule(numbers, steps_per_epoch)``
    standardizer: Standardizer | None = None  #: None fits one to the training split
    warmup: Callable[[Any], int] = one_epoch  #: epochs in which accuracy may still be at chance

    def run(self, params: Params, report: Report) -> Result:
        """Train one trial on all of its devices."""
        return train_on_devices(self.train, params, report)

    def train(self, params: Params, report: Report, process: TrainingProcess) -> Result:
        """Train in one process."""
        return train(self, params, report, process)


def train(task: Task, params: Params, report: Report, process: TrainingProcess) -> Result:
    """Train, report every epoch, and evaluate the requested split.

    Resumes from the checkpoint in ``params.folder`` if there is one, and ends with the same bits as an uninterrupted
    run. If that run had finished and its result was lost, the result is read from the checkpoint.

    Raises:
        Diverged: soon after a loss that is not finite, or after an epoch with accuracy at chance.
    """
    numbers = params.numbers
    source = make_source(task, params, process)
    torch.manual_seed(params.seed)
    network = make_network(task.build, params, source.shape, source.classes).to(process.device)
    optimizer, scaler = make_optimizer(network, numbers, process), make_scaler(numbers, process)
    run = Run(
        network=network,
        optimizer=optimizer,
        scaler=scaler,
        source=source,
        checkpoint=Checkpoint(params.folder),
        checkpoint_seconds=params.checkpoint_seconds,
        identity=identity(params, source),
        measure=params.measure,
        writes_checkpoint=process.is_main,
    )
    if (result := run.restore()) is not None:
        return result
    step = Step(network, wrap_model(network, numbers, process), optimizer, scaler, numbers, process)
    schedule = task.schedule(numbers, source.steps)
    for epoch in range(run.epoch + 1, numbers.epochs + 1):
        start = time.perf_counter()
        train_loss = train_epoch(step, source, schedule, epoch, params, process)
        if process.devices > 1:
            average_running_statistics(network)
        run.end_epoch(epoch)
        if not process.is_main:
            continue
        loss, accuracy = evaluate(network, source, "validation")
        if epoch > task.warmup(numbers):
            check_learning(train_loss, accuracy, source, epoch)
        figures = {"train_loss": train_loss, "validation_loss": loss, "validation_accuracy": accuracy}
        figures |= {"learning_rate": schedule(epoch * source.steps - 1)}
        if params.measure == "test" and epoch == numbers.epochs and len(source.test_sets) > 1:
            figures |= {f"{name}_accuracy": evaluate(network, source, name)[1] for name in source.test_sets}
        if params.observer:
            params.observer.end_epoch(1 - evaluate(network, source, source.test_sets[0])[1])
        run.save_if_due()
        with run.save_on_exception():
            report(epoch=epoch, **figures, seconds=time.perf_counter() - start)
    if not process.is_main:
        return Result(value=math.nan)
    splits = source.test_sets if params.measure == "test" else ("validation",)
    accuracies = [evaluate(network, source, split)[1] for split in splits]
    samples = sum(source.samples(split) for split in splits)
    result = Result(value=sum(accuracies) / len(splits), samples=samples, classes=source.classes)
    run.finish(result)
    return result


def make_source(task: Task, params: Params, process: TrainingProcess) -> Source:
    """Return the data source of a trial."""
    numbers, data = params.numbers, params.data
    if isinstance(data, Images):
        return InMemory(
            data,
            batch=numbers.batch,
            process=process,
            seed=params.seed,
            augmentation=make_augmentation(numbers),
            standardizer=task.standardizer,
            channels_last=getattr(numbers, "channels_last", False),
        )
    from trainers.data.streams import make_stream

    return make_stream(data, numbers, process.device, params.seed, process.rank, process.devices)


def make_augmentation(numbers: Any) -> Augmentation | None:
    """Return the augmentation of training images, or None."""
    names = ("flip", "pad", "cutout", "randaugment_n", "randaugment_m", "magnitude_max")
    asked = {name: getattr(numbers, name) for name in names if hasattr(numbers, name)}
    if not any(asked.get(name) for name in ("flip", "pad", "cutout", "randaugment_n")):
        return None
    return Augmentation(**asked)


def make_network(build: Build, params: Params, shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Build a trial's network with its norms; initial weights come from torch's global generator."""
    network = build(params.numbers, shape, classes, make_norm_factory(params))
    if params.numbers.standardize_weights:
        standardize_weights(network)
    if getattr(params.numbers, "channels_last", False):
        network.to(memory_format=torch.channels_last)
    return network


def wrap_model(network: nn.Module, numbers: Any, process: TrainingProcess) -> nn.Module:
    """Wrap the network for training: DistributedDataParallel, torch.compile."""
    if process.devices > 1:
        ids = [process.device.index] if process.device.type == "cuda" else None
        network = nn.parallel.DistributedDataParallel(network, device_ids=ids, **NO_BUFFER_SYNC)
    if not numbers.compile:
        return network
    if "TORCHINDUCTOR_CACHE_DIR" not in os.environ:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(make_compile_cache())
    return torch.compile(network)  # type: ignore[return-value]


def make_compile_cache() -> Path:
    """Return a folder of this user's for compiled programs; a new one if the account has no home.

    PyTorch's own is in the temporary folder under a known name, where another user of the host could plant programs.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "torchinductor"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="torchinductor-"))
    return folder


def identity(params: Params, source: Source) -> dict[str, Any]:
    """Return what identifies the trial of a checkpoint."""
    return {
        "recipe": params.recipe,
        "numbers": asdict(params.numbers),
        "gm": params.gm,
        "gc": params.gc,
        "normalize": params.normalize,
        "seed": params.seed,
        "shape": list(source.shape),
        "classes": source.classes,
        "standard": [list(values) for values in source.standardizer],
    }


def train_epoch(
    step: Step, source: Source, schedule: Schedule, epoch: int, params: Params, process: TrainingProcess
) -> float:
    """Train for one epoch and return the mean loss of its steps.

    Raises:
        Diverged: if it is not finite.
    """
    step.model.train()
    # reseed dropout and noise, so that they do not depend on where the run was interrupted
    torch.manual_seed(hash((params.seed, epoch, process.rank)) % 2**63)
    train_step = params.observer.wrap(step) if params.observer else step
    total, first = torch.zeros((), device=process.device), (epoch - 1) * source.steps
    for number, (inputs, labels) in enumerate(source.training(epoch)):
        if getattr(params.numbers, "mixup", 0):
            inputs, labels = mixup_batch(inputs, labels, source.classes, params.numbers.mixup)
        total += train_step(inputs, labels, schedule(first + number))
        if (number + 1) % FINITE_CHECK_INTERVAL == 0:
            check_finite(mean_over_devices(total, process).item(), epoch)
    return check_finite((mean_over_devices(total, process) / source.steps).item(), epoch)


def mean_over_devices(loss: Tensor, process: TrainingProcess) -> Tensor:
    """Return the mean of a loss over the trial's devices, the same on all of them."""
    if process.devices == 1:
        return loss
    mean = loss.clone()
    distributed.all_reduce(mean)
    return mean / process.devices


def check_finite(loss: float, epoch: int) -> float:
    """Return the loss if it is finite.

    Raises:
        Diverged: if it is not.
    """
    if not math.isfinite(loss):
        raise Diverged(f"the training loss is {loss} in epoch {epoch}")
    return loss


def check_learning(train_loss: float, accuracy: float, source: Source, epoch: int) -> None:
    """Check that the network beats a constant prediction in training or validation.

    Validation alone proves nothing: it uses running statistics that a short epoch has hardly updated.

    Raises:
        Diverged: if both are at chance.
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
