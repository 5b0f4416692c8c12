"""The mathematics of every norm here: what a chain of normalizations does to the rows of its input.

Let a row have mean m and variance v. To normalize groups of rows is

    μ = mean of m over the group
    σ² = mean of v + (m − μ)² over the group        (law of total variance)
    r = (σ² + ε)^-½
    every row x becomes r · (x − μ): its mean r · (m − μ), its variance r² · v, its scale r times the one before

so a chain of normalizations needs no more of an activation than the mean and variance of its rows, and its output is,
row by row, ``scale · (x − m) + mean``. A norm is a list of steps. ``forward`` below is open to autograd; ``adjoint`` is
its derivative by hand, which takes fewer operations on such small matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

# Shape legend: M samples, C channels, N of a group; what is known of the rows is a matrix (M, C).


class Groups(NamedTuple):
    """Rows normalized together, as a view of their matrix and the dimensions averaged in it."""

    shape: tuple[int, ...]
    mean_dims: tuple[int, ...]
    var_dims: tuple[int, ...]  #: more than ``mean_dims`` where channels share a variance

    @classmethod
    def of_channels(cls, num_samples: int, num_channels: int, gc: int) -> Groups:
        """Take ``gc`` groups of consecutive channels in every sample."""
        return cls((num_samples, gc, num_channels // gc), (2,), (2,))

    @classmethod
    def of_samples(cls, num_samples: int, num_channels: int, gm: int, strided: bool, shared_var: bool) -> Groups:
        """Take ``gm`` groups of samples in every channel: consecutive ones, or every gm-th one.

        With ``shared_var`` the variance is taken over all channels of the group's samples (Luo et al., 2020).
        """
        size = num_samples // gm
        shape, dim = ((size, gm, num_channels), 0) if strided else ((gm, size, num_channels), 1)
        return cls(shape, (dim,), (dim, 2) if shared_var else (dim,))

    def view(self, rows: Tensor) -> Tensor:
        """Shape a matrix of rows so that the statistics broadcast over it."""
        return rows.reshape(self.shape)

    def mean(self, rows: Tensor) -> Tensor:
        """Average what is centred over a group; it is its own adjoint."""
        return rows.mean(self.mean_dims, keepdim=True)

    def pool(self, rows: Tensor) -> Tensor:
        """Average what makes up a group's variance; it is its own adjoint."""
        return rows.mean(self.var_dims, keepdim=True)

    def statistics(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        """Return μ and σ² of every group."""
        group_mean = self.mean(mean)
        centred = mean - group_mean
        return group_mean, self.pool(torch.addcmul(var, centred, centred))


class Known(NamedTuple):
    """Statistics that do not depend on the input, each ``(C,)``: what evaluation normalizes with."""

    known_mean: Tensor
    known_var: Tensor

    def view(self, rows: Tensor) -> Tensor:
        """Shape rows as their matrix."""
        return rows.reshape(-1, self.known_mean.numel())

    def statistics(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is known."""
        return self.known_mean.to(mean.dtype), self.known_var.to(var.dtype)


class Assigned(NamedTuple):
    """Groups whose number is a tensor: a matrix of who is with whom, so that one program serves every number."""

    together: Tensor  #: whether i and j are in one group, (M, M) or (C, C)
    of_channels: bool
    shared_var: bool
    present: Tensor  #: whether there are groups at all; ``gc = 0`` means that there are none
    eps: float

    @classmethod
    def of(
        cls, size: int, count: Tensor, eps: float, *, of_channels: bool, strided: bool = False, shared_var: bool = False
    ) -> Assigned:
        """Assign ``size`` samples or channels to ``count`` groups, whose sizes differ by one at most."""
        place = torch.arange(size, device=count.device)
        group = place % count.clamp(min=1) if strided else place * count // size
        return cls(group[:, None] == group, of_channels, shared_var, count > 0, eps)

    def view(self, rows: Tensor) -> Tensor:
        """Shape rows as their matrix."""
        size = self.together.shape[0]
        return rows.reshape(-1, size) if self.of_channels else rows.reshape(size, -1)

    def mean(self, rows: Tensor) -> Tensor:
        """Give every row the average of its group."""
        together = self.together.to(rows.dtype)
        sizes = together.sum(1)
        with torch.autocast(rows.device.type, enabled=False):
            return rows @ together / sizes if self.of_channels else together @ rows / sizes[:, None]

    def statistics(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        """Return μ and σ² of every row's group; where there are none, those that leave a row as it is."""
        group_mean = self.mean(mean)
        group_var = self.mean(var + (mean - group_mean).square())
        if self.shared_var:
            group_var = group_var.mean(1, keepdim=True)
        return torch.where(self.present, group_mean, 0), torch.where(self.present, group_var, 1 - self.eps)


Step = Groups | Known | Assigned


class Link(NamedTuple):
    """One step taken: the rows before it in the shape of the step's view, and the step's statistics."""

    step: Step
    var: Tensor
    scale: Tensor
    group_mean: Tensor
    group_var: Tensor
    centred: Tensor  #: m − μ
    rstd: Tensor  #: r


def forward(mean: Tensor, var: Tensor, steps: Sequence[Step], eps: float) -> tuple[Tensor, Tensor, list[Link]]:
    """Take the steps one after the other.

    Args:
        mean, var: of every row, ``(M, C)``.
        steps: at least one.
        eps: ε of every step.

    Returns:
        The rows' mean and scale after the last step, each ``(M, C)``, and the links between.
    """
    shape = mean.shape
    scale = mean.new_ones(()).expand(shape)
    links: list[Link] = []
    for step in steps:
        if links:
            var = links[-1].var * links[-1].rstd.square()
        mean, var, scale = step.view(mean), step.view(var), step.view(scale)
        group_mean, group_var = step.statistics(mean, var)
        centred, rstd = mean - group_mean, (group_var + eps).rsqrt()
        links.append(Link(step, var, scale, group_mean, group_var, centred, rstd))
        mean, scale = centred * rstd, scale * rstd
    return mean.reshape(shape), scale.reshape(shape), links


def adjoint(links: Sequence[Link], mean: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Take gradients back through :func:`forward`.

    Args:
        links: what ``forward`` returned, of steps that are no ``Assigned``.
        mean, scale: the gradients for the rows' mean and scale after the last step, ``(M, C)``.

    Returns:
        The gradients for the rows' mean and variance before the first step, ``(M, C)``.
    """
    shape = mean.shape
    var: Tensor | None = None  # nothing asks for the variance after the last step
    for link in reversed(links):
        step, r = link.step, link.rstd
        mean, scale = step.view(mean), step.view(scale)
        var = None if var is None else step.view(var)
        if isinstance(step, Groups):
            pull = torch.addcmul(scale * link.scale, mean, link.centred)  # dL/dr, before summing over the group
            if var is not None:
                pull.addcmul_(var, link.var * r, value=2)
            through_var = step.pool(pull).mul_(-r.pow(3) / 2)  # dL/dσ² per row
            mean = torch.addcmul(mean * r, link.centred, through_var, value=2)
            mean = mean - step.mean(mean)
            var = through_var.expand(step.shape) if var is None else torch.addcmul(through_var, var, r.square())
        else:
            mean = mean * r
            var = torch.zeros_like(mean) if var is None else var * r.square()
        scale = scale * r
    assert var is not None
    return mean.reshape(shape), var.reshape(shape)
