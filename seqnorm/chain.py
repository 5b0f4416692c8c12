"""The mathematics of every norm in this package: a chain of normalizations as operations on row statistics.

A row is the values of one sample in one channel. Let it have mean m and variance v. Normalizing groups of rows means

    μ = mean of m over the group
    σ² = mean of v + (m − μ)² over the group        (law of total variance)
    r = (σ² + ε)^-½
    every row x becomes r · (x − μ): its mean r · (m − μ), its variance r² · v, its scale r times the one before

So a chain of normalizations needs only the mean and variance of each row of an activation, and its output is, row by
row, ``scale · (x − m) + mean``. A norm is a list of steps. ``forward`` is differentiable by autograd; ``adjoint`` is
its hand-written backward pass, which takes fewer operations on such small matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

# Shape legend: M samples, C channels, N group size; row statistics are matrices (M, C).


class Groups(NamedTuple):
    """Equal groups of rows: a view of the (M, C) matrix and the dimensions to average over."""

    shape: tuple[int, ...]
    mean_dims: tuple[int, ...]
    var_dims: tuple[int, ...]  #: more than ``mean_dims`` if channels share a variance

    @classmethod
    def over_channels(cls, num_samples: int, num_channels: int, gc: int) -> Groups:
        """Form ``gc`` groups of consecutive channels in every sample."""
        return cls((num_samples, gc, num_channels // gc), (2,), (2,))

    @classmethod
    def over_samples(cls, num_samples: int, num_channels: int, gm: int, strided: bool, shared_var: bool) -> Groups:
        """Form ``gm`` groups of samples in every channel: consecutive samples, or every gm-th if ``strided``.

        ``shared_var`` computes the variance over all channels of the group's samples (Luo et al., 2020).
        """
        size = num_samples // gm
        shape, dim = ((size, gm, num_channels), 0) if strided else ((gm, size, num_channels), 1)
        return cls(shape, (dim,), (dim, 2) if shared_var else (dim,))

    def view(self, rows: Tensor) -> Tensor:
        """Reshape an (M, C) matrix so that group statistics broadcast over it."""
        return rows.reshape(self.shape)

    def mean(self, rows: Tensor) -> Tensor:
        """Average over a group's mean dimensions; self-adjoint."""
        return rows.mean(self.mean_dims, keepdim=True)

    def pool(self, rows: Tensor) -> Tensor:
        """Average over a group's variance dimensions; self-adjoint."""
        return rows.mean(self.var_dims, keepdim=True)

    def statistics(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        """Return μ and σ² of every group."""
        group_mean = self.mean(mean)
        centred = mean - group_mean
        return group_mean, self.pool(torch.addcmul(var, centred, centred))


class FixedStatistics(NamedTuple):
    """Statistics that do not depend on the input, each ``(C,)``: the running statistics in evaluation."""

    mean: Tensor
    var: Tensor

    def view(self, rows: Tensor) -> Tensor:
        """Reshape to the (M, C) matrix."""
        return rows.reshape(-1, self.mean.numel())

    def statistics(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        """Return the fixed mean and variance."""
        return self.mean.to(mean.dtype), self.var.to(var.dtype)


class TensorGroups(NamedTuple):
    """Groups whose number is a tensor: a membership matrix, so that one compiled program serves every number."""

    same_group: Tensor  #: whether i and j share a group, (M, M) or (C, C)
    over_channels: bool
    shared_var: bool
    has_groups: Tensor  #: False for a count of 0, which leaves the rows unchanged
    eps: float

    @classmethod
    def assign(
        cls,
        size: int,
        count: Tensor,
        eps: float,
        *,
        over_channels: bool,
        strided: bool = False,
        shared_var: bool = False,
    ) -> TensorGroups:
        """Assign ``size`` samples or channels to ``count`` groups, whose sizes differ by at most one."""
        index = torch.arange(size, device=count.device)
        group = index % count.clamp(min=1) if strided else index * count // size
        return cls(group[:, None] == group, over_channels, shared_var, count > 0, eps)

    def view(self, rows: Tensor) -> Tensor:
        """Reshape to the (M, C) matrix."""
        size = self.same_group.shape[0]
        return rows.reshape(-1, size) if self.over_channels else rows.reshape(size, -1)

    def mean(self, rows: Tensor) -> Tensor:
        """Return the average of each row's group."""
        same_group = self.same_group.to(rows.dtype)
        sizes = same_group.sum(1)
        with torch.autocast(rows.device.type, enabled=False):
            return rows @ same_group / sizes if self.over_channels else same_group @ rows / sizes[:, None]

    def statistics(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        """Return μ and σ² of each row's group; without groups, the values that leave a row unchanged."""
        group_mean = self.mean(mean)
        group_var = self.mean(var + (mean - group_mean).square())
        if self.shared_var:
            group_var = group_var.mean(1, keepdim=True)
        return torch.where(self.has_groups, group_mean, 0), torch.where(self.has_groups, group_var, 1 - self.eps)


Step = Groups | FixedStatistics | TensorGroups


class Link(NamedTuple):
    """What one step saves for backward: the row statistics before it, in the step's view, and its group statistics."""

    step: Step
    var: Tensor
    scale: Tensor
    group_mean: Tensor
    group_var: Tensor
    centred: Tensor  #: m − μ
    rstd: Tensor  #: r


def forward(mean: Tensor, var: Tensor, steps: Sequence[Step], eps: float) -> tuple[Tensor, Tensor, list[Link]]:
    """Apply the steps one after another.

    Args:
        mean, var: of each row, ``(M, C)``.
        steps: at least one.
        eps: ε of every step.

    Returns:
        The rows' mean and scale after the last step, each ``(M, C)``, and one link for each step.
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
    """Backpropagate through :func:`forward`.

    Args:
        links: from ``forward``; no step may be a ``TensorGroups``.
        mean, scale: the gradients of the rows' mean and scale after the last step, ``(M, C)``.

    Returns:
        The gradients of the rows' mean and variance before the first step, ``(M, C)``.
    """
    shape = mean.shape
    var: Tensor | None = None  # the output does not depend on the variance after the last step
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
