"""The loss landscape along training, after Santurkar et al. (2018), as the paper measures it (section 3.1 and A.2).

At every update the loss of the same batch is measured along the optimizer's step, at θ − s · (θ − θ'): θ are the
weights before the update, θ' those after it, and s is a step size in units of the learning rate, so s = 1 is the next
iterate. The network is in training mode.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from trainers.recipe import find, resolve
from trainers.step import Step
from trainers.trial import Diverged, Params, Report


@dataclass
class Landscape:
    """Measurements, one entry per update; a :class:`trainers.trial.StepObserver`.

    Args:
        steps: sizes s, in units of the learning rate.
        gradients: whether to compute the gradient at every point, which costs one backward pass each.
    """

    steps: Sequence[float]
    gradients: bool = True
    lowest: list[Tensor] = field(default_factory=list)  #: smallest loss along the step
    highest: list[Tensor] = field(default_factory=list)
    predictiveness: list[Tensor] = field(default_factory=list)  #: largest ‖∇(θ) − ∇(θ − s·d)‖
    smoothness: list[Tensor] = field(default_factory=list)  #: effective β: largest ‖∇(θ) − ∇(θ − s·d)‖ / ‖s·d‖
    test_errors: list[float] = field(default_factory=list)  #: after each epoch

    def wrap(self, step: Step) -> MeasuredStep:
        """Return a training step that also measures the landscape."""
        return MeasuredStep(self, step)

    def end_epoch(self, test_error: float) -> None:
        """Record the test error after an epoch."""
        self.test_errors.append(test_error)

    def figures(self) -> dict[str, list[float]]:
        """Return all measurements as lists of numbers."""
        names = ("lowest", "highest", *(("predictiveness", "smoothness") if self.gradients else ()))
        figures = {name: torch.stack(getattr(self, name)).tolist() if getattr(self, name) else [] for name in names}
        return {**figures, "test_errors": self.test_errors}


@dataclass
class MeasuredStep:
    """A training step with measurements along it; called like :class:`trainers.step.Step`."""

    landscape: Landscape
    step: Step

    def __call__(self, inputs: Tensor, labels: Tensor, rate: float) -> Tensor:
        """Take the step, then measure along it; return the loss before it, detached."""
        step, network = self.step, self.step.network
        trained = dict(network.named_parameters())
        before = [parameter.detach().clone() for parameter in trained.values()]
        buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
        random = get_random_state(inputs.device)
        loss = step.gradients(inputs, labels)
        gradients = [copy_gradient(parameter) for parameter in trained.values()] if self.landscape.gradients else []
        step.update(rate)
        after = [parameter.detach() for parameter in trained.values()]
        length = l2_norm(torch._foreach_sub(after, before)) if gradients else None
        # clones keep the memory layout, which determines how noise is drawn
        weights = [weight.clone() for weight in before]
        losses, changes = [], []
        for size in self.landscape.steps:
            for weight, start, end in zip(weights, before, after, strict=True):
                torch.lerp(start, end, size, out=weight)  # exactly the next iterate if the size is 1
            point = {name: weight.detach() for name, weight in zip(trained, weights, strict=True)}
            with replay_random_state(inputs.device, random):
                loss_there, gradients_there = self._loss_and_gradients(
                    point, {name: buffer.clone() for name, buffer in buffers.items()}, inputs, labels
                )
            losses.append(loss_there)
            if gradients:
                changes.append(l2_norm(torch._foreach_sub(gradients, gradients_there)))
        self._record(torch.stack(losses), changes, length)
        return loss

    def _loss_and_gradients(
        self, weights: dict[str, Tensor], buffers: dict[str, Tensor], inputs: Tensor, labels: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the loss and, if enabled, the gradients at a point, without changing the network."""
        with_gradients = self.landscape.gradients

        def model(x: Tensor) -> Tensor:
            logits: Tensor = functional_call(self.step.network, {**weights, **buffers}, (x,))
            return logits

        with torch.set_grad_enabled(with_gradients):
            for weight in weights.values() if with_gradients else ():
                weight.requires_grad_()
            loss = self.step.loss_over_passes(inputs, labels, model)
            gradients = torch.autograd.grad(loss, list(weights.values())) if with_gradients else ()
        return loss.detach(), list(gradients)

    def _record(self, losses: Tensor, changes: list[Tensor], length: Tensor | None) -> None:
        landscape = self.landscape
        landscape.lowest.append(losses.amin())
        landscape.highest.append(losses.amax())
        if length is not None:
            gradient_changes = torch.stack(changes)
            distances = length * torch.tensor(landscape.steps, device=length.device)
            landscape.predictiveness.append(gradient_changes.amax())
            landscape.smoothness.append((gradient_changes / distances).amax())


def copy_gradient(parameter: Tensor) -> Tensor:
    """Return a copy of a parameter's gradient."""
    assert parameter.grad is not None
    return parameter.grad.clone()


def l2_norm(tensors: Sequence[Tensor]) -> Tensor:
    """Return the L2 norm of all tensors together."""
    length: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(tensors))))
    return length


def get_random_state(device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Return the states of torch's generators: of the CPU and, on a GPU, of the device."""
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


@contextlib.contextmanager
def replay_random_state(device: torch.device, state: tuple[Tensor, Tensor | None]) -> Iterator[None]:
    """Repeat the random draws made since ``state`` (dropout, noise), then restore the current state."""
    current = get_random_state(device)
    try:
        set_random_state(device, state)
        yield
    finally:
        set_random_state(device, current)


def set_random_state(device: torch.device, state: tuple[Tensor, Tensor | None]) -> None:
    """Restore a state from :func:`get_random_state`."""
    cpu_state, device_state = state
    torch.set_rng_state(cpu_state)
    if device_state is not None:
        torch.cuda.set_rng_state(device_state, device)


def measure(
    recipe: str,
    overrides: dict[str, Any],
    data: str | None,
    home: Path,
    gm: int,
    seed: int,
    gradients: bool,
    report: Report,
) -> dict[str, Any]:
    """Train a point of a recipe with GhostNorm (gm 0: no normalization) and measure its landscape.

    Returns:
        The figures of :class:`Landscape`, and ``diverged``: why training ended early, or None.
    """
    torch.set_num_threads(1)
    descriptor = find(recipe)
    numbers = descriptor.with_overrides({**overrides, "precision": "fp32", "compile": False, "real_devices": 1})
    landscape = Landscape(descriptor.landscape, gradients)
    params = Params(
        gm=gm,
        gc=0,
        seed=seed,
        numbers=numbers,
        data=resolve(descriptor.load)(numbers, data, home),
        normalize=gm > 0,
        recipe=recipe,
        observer=landscape,
    )
    diverged = None
    try:
        resolve(descriptor.run)(params, report)
    except Diverged as error:
        diverged = str(error)
    return {**landscape.figures(), "diverged": diverged}
