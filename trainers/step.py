"""One training step: forward, backward, update."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.devices import TrainingProcess

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def make_optimizer(network: nn.Module, numbers: Any, process: TrainingProcess) -> torch.optim.SGD:
    """Return SGD over all parameters; without ``decay_norms``, those named *bn* get no weight decay."""
    named = list(network.named_parameters())
    groups: list[dict[str, Any]] = [{"params": [parameter for _, parameter in named]}]
    if not numbers.decay_norms:
        groups = [
            {"params": [parameter for name, parameter in named if "bn" not in name]},
            {"params": [parameter for name, parameter in named if "bn" in name], "weight_decay": 0.0},
        ]
    return torch.optim.SGD(
        [group for group in groups if group["params"]],
        lr=numbers.learning_rate,
        momentum=numbers.momentum,
        nesterov=numbers.nesterov and numbers.momentum > 0,
        weight_decay=numbers.weight_decay,
        fused=process.device.type == "cuda" or None,  # lets the scaler skip a step without synchronizing
    )


def make_scaler(numbers: Any, process: TrainingProcess) -> torch.amp.GradScaler:
    """Return the gradient scaler, which is active in fp16."""
    static = {"init_scale": numbers.loss_scale} if numbers.loss_scale else {}
    return torch.amp.GradScaler(process.device.type, enabled=numbers.precision == "fp16", **static)


class Step:
    """A step of SGD on a batch, without device synchronization.

    Args:
        network: the module being trained.
        model: the network as called in training, compiled or wrapped in DistributedDataParallel.
        optimizer, scaler: of its parameters.
        numbers: of the recipe.
        process: the device of the batch.
    """

    def __init__(
        self,
        network: nn.Module,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        numbers: Any,
        process: TrainingProcess,
    ) -> None:
        self.network = network
        self.model = model
        self.optimizer = optimizer
        self._scaler = scaler
        self._numbers = numbers
        self._process = process
        self._parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]

    def loss(self, inputs: Tensor, labels: Tensor, model: Any = None) -> Tensor:
        """Return the mean loss over a batch; labels are classes, or probabilities ``(M, classes)``."""
        numbers = self._numbers
        precision = PRECISIONS[numbers.precision]
        with torch.autocast(self._process.device.type, precision, enabled=numbers.precision != "fp32"):
            logits = (model or self.model)(inputs)
        return F.cross_entropy(logits.float(), labels, label_smoothing=numbers.label_smoothing)

    def loss_over_passes(self, inputs: Tensor, labels: Tensor, model: Any) -> Tensor:
        """Return the mean loss over a batch, in as many passes as training takes."""
        passes = self._numbers.accumulate
        chunks = zip(inputs.chunk(passes), labels.chunk(passes), strict=True)
        return torch.stack([self.loss(x, y, model) for x, y in chunks]).mean()

    def gradients(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Compute every parameter's gradient; return the loss, detached."""
        self.optimizer.zero_grad(set_to_none=True)
        passes = self._numbers.accumulate
        if passes == 1:
            loss = self.loss(inputs, labels)
            self._scaler.scale(loss).backward()
            return loss.detach()
        losses = []
        for number, (x, y) in enumerate(zip(inputs.chunk(passes), labels.chunk(passes), strict=True), 1):
            with self._defer_gradient_sync() if number < passes else contextlib.nullcontext():
                loss = self.loss(x, y) / passes
                self._scaler.scale(loss).backward()
            losses.append(loss.detach())
        return torch.stack(losses).sum()

    def _defer_gradient_sync(self) -> contextlib.AbstractContextManager[None]:
        """Defer gradient synchronization between devices to the last pass."""
        no_sync: Any = getattr(self.model, "no_sync", contextlib.nullcontext)
        return no_sync()  # type: ignore[no-any-return]

    def update(self, rate: float) -> None:
        """Update the weights with the learning rate ``rate``."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        if self._numbers.clip:
            self._scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self._parameters, self._numbers.clip)
        self._scaler.step(self.optimizer)
        self._scaler.update(self._numbers.loss_scale or None)  # keeps a static scale

    def __call__(self, inputs: Tensor, labels: Tensor, rate: float) -> Tensor:
        """Take the step; return the loss before it, detached."""
        loss = self.gradients(inputs, labels)
        self.update(rate)
        return loss
