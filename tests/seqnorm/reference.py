"""The norms read literally off the paper: loops over groups, in float64, in the paper's letters.

X holds M samples of C channels, each channel with F positions in space (M × C × F; section 2.1). G_M groups of
consecutive samples (Figure 4), G_C groups of consecutive channels, μ and σ² over each group, σ² biased, ε inside the
root, γ and β once at the end (equation 1). Autograd goes through all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import torch
from torch import Tensor

EPS = 1e-5


def ghost_norm(
    X: Tensor,
    G_M: int,
    γ: Tensor | None = None,
    β: Tensor | None = None,
    ε: float = EPS,
    *,
    strided: bool = False,
    shared_var: bool = False,
) -> Tensor:
    """Normalize every channel c over every group S of M / G_M samples."""
    M, C = X.shape[:2]
    X = X.double()
    Y = [[torch.empty(0)] * C for _ in range(M)]
    for S in groups(M, G_M, strided):
        for c, (μ, σ2) in enumerate(of_channels(X, S, shared_var)):
            for m in S:
                Y[m][c] = (X[m, c] - μ) / torch.sqrt(σ2 + ε)
    return affine(Y, γ, β)


def group_norm(X: Tensor, G_C: int, γ: Tensor | None = None, β: Tensor | None = None, ε: float = EPS) -> Tensor:
    """Normalize every sample m over every group of C / G_C consecutive channels."""
    M, C = X.shape[:2]
    X = X.double()
    Y = [[torch.empty(0)] * C for _ in range(M)]
    for m in range(M):
        for S in groups(C, G_C):
            μ, σ2 = moments([X[m, c] for c in S])
            for c in S:
                Y[m][c] = (X[m, c] - μ) / torch.sqrt(σ2 + ε)
    return affine(Y, γ, β)


def seq_norm(
    X: Tensor,
    G_C: int,
    G_M: int,
    γ: Tensor | None = None,
    β: Tensor | None = None,
    ε: float = EPS,
    *,
    strided: bool = False,
    shared_var: bool = False,
    ghost_first: bool = False,
) -> Tensor:
    """GroupNorm first, then GhostNorm; or the other way round (A.4)."""
    if ghost_first:
        return group_norm(ghost_norm(X, G_M, ε=ε, strided=strided, shared_var=shared_var), G_C, γ, β, ε)
    return ghost_norm(group_norm(X, G_C, ε=ε), G_M, γ, β, ε, strided=strided, shared_var=shared_var)


class RunningStatistics:
    """What evaluation normalizes with: exponential updates from mean 0, variance 1; or, without momentum, averages."""

    def __init__(self, C: int, momentum: float | None = 0.1, convention: str = "within") -> None:
        self.mean = [0.0] * C
        self.var = [1.0] * C
        self.updates = 0
        self.momentum = momentum
        self.convention = convention

    def step(self, X: Tensor, G_M: int, *, strided: bool = False, shared_var: bool = False) -> None:
        """See a batch in training."""
        M, C = X.shape[:2]
        every = groups(M, G_M, strided)
        found = [self.bessel_corrected(X, S, shared_var) for S in every]
        if self.convention == "sequential":
            for of_group in found:
                self.update(of_group)
        elif self.convention == "within":  # groups of equal size weigh alike; others as in a pooled variance
            n = [self.values(X, S, shared_var) for S in every]
            self.update(
                [
                    (
                        sum(n[g] * found[g][c][0] for g in range(G_M)) / sum(n),
                        sum((n[g] - 1) * found[g][c][1] for g in range(G_M)) / (sum(n) - G_M),
                    )
                    for c in range(C)
                ]
            )
        else:
            self.update(self.bessel_corrected(X, range(M), shared_var))

    def values(self, X: Tensor, S: Sequence[int], shared_var: bool) -> int:
        """Count the values that a variance over the samples of S is of."""
        return len(S) * X[0, 0].numel() * (X.shape[1] if shared_var else 1)

    def bessel_corrected(self, X: Tensor, S: Sequence[int], shared_var: bool) -> list[tuple[float, float]]:
        """Return the mean and the unbiased variance of every channel over the samples of S."""
        n = self.values(X, S, shared_var)
        return [(μ.item(), σ2.item() * n / (n - 1)) for μ, σ2 in of_channels(X.double(), S, shared_var)]

    def update(self, found: Sequence[tuple[float, float]]) -> None:
        """Move towards the mean and variance of every channel."""
        self.updates += 1
        α = 1 / self.updates if self.momentum is None else self.momentum
        for c, (μ, σ2) in enumerate(found):
            self.mean[c] += α * (μ - self.mean[c])
            self.var[c] += α * (σ2 - self.var[c])

    def evaluate(self, X: Tensor, γ: Tensor | None = None, β: Tensor | None = None, ε: float = EPS) -> Tensor:
        """Normalize every sample with the running statistics."""
        X = X.double()
        Y = [[(x[c] - self.mean[c]) / (self.var[c] + ε) ** 0.5 for c in range(X.shape[1])] for x in X]
        return affine(Y, γ, β)


def groups(length: int, G: int, strided: bool = False) -> list[range]:
    """Cut 0 … length - 1 into G runs, equal if G divides the length, or deal it out to G hands."""
    if strided:
        return [range(g, length, G) for g in range(G)]
    return [range(ceil(g * length / G), ceil((g + 1) * length / G)) for g in range(G)]


def of_channels(X: Tensor, S: Sequence[int], shared_var: bool) -> list[tuple[Tensor, Tensor]]:
    """Return every channel's mean and variance over the samples of S, or the variance that all channels share."""
    found = [moments([X[m, c] for m in S]) for c in range(X.shape[1])]
    if not shared_var:
        return found
    shared = torch.stack([σ2 for _, σ2 in found]).mean()  # every deviation is from its own channel's mean
    return [(μ, shared) for μ, _ in found]


def moments(values: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the mean and the biased variance of every number in ``values``."""
    n = sum(v.numel() for v in values)
    μ = torch.stack([v.sum() for v in values]).sum() / n
    σ2 = torch.stack([((v - μ) ** 2).sum() for v in values]).sum() / n
    return μ, σ2


def affine(Y: Sequence[Sequence[Tensor]], γ: Tensor | None, β: Tensor | None) -> Tensor:
    """Scale every channel by γ, add β, and lay the pieces out as one tensor."""
    C = len(Y[0])
    γ = torch.ones(C) if γ is None else γ.double()
    β = torch.zeros(C) if β is None else β.double()
    return torch.stack([torch.stack([y * γ[c] + β[c] for c, y in enumerate(row)]) for row in Y])
