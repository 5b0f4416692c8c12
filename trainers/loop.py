"""The training loop, as plain functions over tensors."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.checkpoint import Checkpoint
from trainers.data.split import Images, Pixels
from trainers.run import Run
from trainers.trial import Diverged, Params, Report, Result


def train(model: nn.Module, images: Images, params: Params, report: Report) -> Result:
    """Train with plain SGD at a constant learning rate, report every epoch, and measure the split that was asked for.

    Goes on from the checkpoint in ``params.folder`` if there is one, and ends with the same bits as if it had never
    been cut. A trial that had ended, and whose result was lost, is answered from its checkpoint without training.

    Raises:
        Diverged: at the end of an epoch whose loss is not finite.
    """
    numbers = params.numbers
    to_input = standardise(images.train_x)
    train_x, train_y = to_input(images.train_x), torch.tensor(images.train_y)
    validation_x, validation_y = to_input(images.validation_x), torch.tensor(images.validation_y)
    run = Run(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=numbers.learning_rate),
        order=torch.Generator().manual_seed(params.seed),
        checkpoint=Checkpoint(params.folder),
        checkpoint_seconds=params.checkpoint_seconds,
    )
    if (result := run.restore()) is not None:
        return result
    for epoch in range(run.epoch + 1, numbers.epochs + 1):
        start = time.perf_counter()
        train_loss = train_epoch(model, run.optimizer, train_x, train_y, numbers.batch, run.order)
        validation_loss, validation_accuracy = evaluate(model, validation_x, validation_y)
        if not math.isfinite(train_loss):
            raise Diverged(f"the training loss is {train_loss} in epoch {epoch}")
        run.end_epoch(epoch)
        with run.saved_if_stopped():
            report(
                epoch=epoch,
                train_loss=train_loss,
                validation_loss=validation_loss,
                validation_accuracy=validation_accuracy,
                learning_rate=numbers.learning_rate,
                seconds=time.perf_counter() - start,
            )
    x, y = validation_x, validation_y
    if params.measure == "test":
        x, y = to_input(images.test_x), torch.tensor(images.test_y)
    _, accuracy = evaluate(model, x, y)
    result = Result(value=accuracy, samples=len(y), classes=images.classes)
    run.end(result)
    return result


def standardise(pixels: Pixels) -> Standardise:
    """Return the map from pixels to network inputs of zero mean and unit variance over ``pixels``."""
    values = torch.tensor(pixels, dtype=torch.float32)  # a copy: what is shared between processes is read-only
    return Standardise(mean=values.mean().item(), std=values.std(correction=0).item())


class Standardise:
    """Subtracts the training mean and divides by the training standard deviation (paper A.2)."""

    def __init__(self, mean: float, std: float) -> None:
        self.mean = mean
        self.std = max(std, 1e-6)  # a blank data set has none

    def __call__(self, pixels: Pixels) -> Tensor:
        """Map uint8 pixels to float32 of the same shape."""
        return (torch.tensor(pixels, dtype=torch.float32) - self.mean) / self.std


def train_epoch(
    model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, batch: int, order: torch.Generator
) -> float:
    """Make one pass in random order and return the mean loss of its steps."""
    model.train()
    total = torch.zeros(())
    steps = 0
    for rows in batches(len(y), batch, order):
        loss = F.cross_entropy(model(x[rows]), y[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total += loss.detach()
        steps += 1
    return (total / steps).item()


def batches(samples: int, batch: int, order: torch.Generator) -> Iterator[Tensor]:
    """Yield the rows of each full batch in random order; the last incomplete one is dropped, as gm must divide it."""
    rows = torch.randperm(samples, generator=order)
    yield from rows[: samples // batch * batch].split(batch)


@torch.no_grad()
def evaluate(model: nn.Module, x: Tensor, y: Tensor, chunk: int = 4096) -> tuple[float, float]:
    """Return the mean cross-entropy and the accuracy over a split."""
    model.eval()
    loss = torch.zeros(())
    correct = torch.zeros((), dtype=torch.long)
    for start in range(0, len(y), chunk):
        logits, labels = model(x[start : start + chunk]), y[start : start + chunk]
        loss += F.cross_entropy(logits, labels, reduction="sum")
        correct += (logits.argmax(dim=1) == labels).sum()
    return (loss / len(y)).item(), (correct / len(y)).item()
