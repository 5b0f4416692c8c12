"""The loss landscape along training, after Santurkar et al. (2018), as the paper measures it (section 3.1 and A.2).

At every update the network walks from its weights θ along the very step that the optimizer takes: to θ − s · (θ − θ'),
where θ' are the weights after the update and s is a step size in units of the learning rate, so that s = 1 is the real
next iterate. At each of these points the loss of the same batch is measured, with the statistics of training.
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
    """What was measured, a row for every update; see :class:`trainers.trial.Walk`.

    Args:
        steps: sizes s, in units of the learning rate.
        gradients: whether to take the gradient at every point as well, which costs a backward pass each.
    """

    steps: Sequence[float]
    gradients: bool = True
    lowest: list[Tensor] = field(default_factory=list)  #: the smallest loss on the walk
    highest: list[Tensor] = field(default_factory=list)
    predictiveness: list[Tensor] = field(default_factory=list)  #: largest ‖∇(θ) − ∇(θ − s·d)‖
    smoothness: list[Tensor] = field(default_factory=list)  #: effective β: largest ‖∇(θ) − ∇(θ − s·d)‖ / ‖s·d‖
    test_errors: list[float] = field(default_factory=list)  #: after each epoch

    def around(self, step: Step) -> Walking:
        """Return a step of training that measures as well."""
        return Walking(self, step)

    def end_epoch(self, test_error: float) -> None:
        """Take the share of the test set that the network gets wrong after an epoch."""
        self.test_errors.append(test_error)

    def figures(self) -> dict[str, list[float]]:
        """Return everything as numbers."""
        names = ("lowest", "highest", *(("predictiveness", "smoothness") if self.gradients else ()))
        figures = {name: torch.stack(getattr(self, name)).tolist() if getattr(self, name) else [] for name in names}
        return {**figures, "test_errors": self.test_errors}


@dataclass
class Walking:
    """A step of training and the walk along it; called as :class:`trainers.step.Step` is."""

    landscape: Landscape
    step: Step

    def __call__(self, inputs: Tensor, labels: Tensor, rate: float) -> Tensor:
        """Take the step, then measure the way it took; return the loss before it, without gradient."""
        step, network = self.step, self.step.network
        trained = dict(network.named_parameters())
        before = [parameter.detach().clone() for parameter in trained.values()]
        buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
        random = random_state(inputs.device)
        loss = step.gradients(inputs, labels)
        gradients = [gradient_of(parameter) for parameter in trained.values()] if self.landscape.gradients else []
        step.update(rate)
        after = [parameter.detach() for parameter in trained.values()]
        length = norm(torch._foreach_sub(after, before)) if gradients else None
        weights = [weight.clone() for weight in before]  # in their own memory layout, which noise is drawn in
        losses, changes = [], []
        for size in self.landscape.steps:
            for weight, start, end in zip(weights, before, after, strict=True):
                torch.lerp(start, end, size, out=weight)  # exactly the next iterate where the size is 1
            point = {name: weight.detach() for name, weight in zip(trained, weights, strict=True)}
            with drawing_again(inputs.device, random):
                found, there = self._at(
                    point, {name: buffer.clone() for name, buffer in buffers.items()}, inputs, labels
                )
            losses.append(found)
            if gradients:
                changes.append(norm(torch._foreach_sub(gradients, there)))
        self._keep(torch.stack(losses), changes, length)
        return loss

    def _at(
        self, weights: dict[str, Tensor], buffers: dict[str, Tensor], inputs: Tensor, labels: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the loss and, if wanted, the gradients at a point; the network's own tensors are left alone."""
        wanted = self.landscape.gradients

        def model(x: Tensor) -> Tensor:
            logits: Tensor = functional_call(self.step.network, {**weights, **buffers}, (x,))
            return logits

        with torch.set_grad_enabled(wanted):
            for weight in weights.values() if wanted else ():
                weight.requires_grad_()
            loss = self.step.loss_over_passes(inputs, labels, model)
            gradients = torch.autograd.grad(loss, list(weights.values())) if wanted else ()
        return loss.detach(), list(gradients)

    def _keep(self, losses: Tensor, changes: list[Tensor], length: Tensor | None) -> None:
        landscape = self.landscape
        landscape.lowest.append(losses.amin())
        landscape.highest.append(losses.amax())
        if length is not None:
            of_gradient = torch.stack(changes)
            way = length * torch.tensor(landscape.steps, device=length.device)
            landscape.predictiveness.append(of_gradient.amax())
            landscape.smoothness.append((of_gradient / way).amax())


def gradient_of(parameter: Tensor) -> Tensor:
    """Return a copy of a parameter's gradient."""
    assert parameter.grad is not None
    return parameter.grad.clone()


def norm(tensors: Sequence[Tensor]) -> Tensor:
    """Return the L2 norm of everything together."""
    length: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(tensors))))
    return length


def random_state(device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Return the states of torch's generators: the CPU's and, on a GPU, the device's."""
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


@contextlib.contextmanager
def drawing_again(device: torch.device, state: tuple[Tensor, Tensor | None]) -> Iterator[None]:
    """Draw what was drawn from ``state`` on, dropout and noise that is; then go on as if nothing had been drawn."""
    for_later = random_state(device)
    try:
        set_random_state(device, state)
        yield
    finally:
        set_random_state(device, for_later)


def set_random_state(device: torch.device, state: tuple[Tensor, Tensor | None]) -> None:
    """Set what :func:`random_state` returned."""
    of_cpu, of_device = state
    torch.set_rng_state(of_cpu)
    if of_device is not None:
        torch.cuda.set_rng_state(of_device, device)


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
    """Train a point of a recipe with GhostNorm, or with no normalization where gm is 0, and measure its landscape.

    Returns:
        The figures of :class:`Landscape`, and ``diverged``: why training ended early, or None.
    """
    torch.set_num_threads(1)
    found = find(recipe)
    numbers = found.with_overrides({**overrides, "precision": "fp32", "compile": False, "real_devices": 1})
    landscape = Landscape(found.landscape, gradients)
    params = Params(
        gm=gm,
        gc=0,
        seed=seed,
        numbers=numbers,
        data=resolve(found.load)(numbers, data, home),
        normalize=gm > 0,
        recipe=recipe,
        walk=landscape,
    )
    diverged = None
    try:
        resolve(found.run)(params, report)
    except Diverged as error:
        diverged = str(error)
    return {**landscape.figures(), "diverged": diverged}
