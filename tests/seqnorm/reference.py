"""GhostNorm and SeqNorm read literally off the paper: loops over groups, in float64, in the paper's letters.

X holds M samples of C channels, each channel with F positions in space (M × C × F; section 2.1). G_M groups of
consecutive samples (Figure 4), G_C groups of consecutive channels, μ and σ² over each group, σ² biased, ε inside the
root, γ and β once at the end (equation 1). Autograd goes through all of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

EPS = 1e-5


def ghost_norm(X: Tensor, G_M: int, γ: Tensor | None = None, β: Tensor | None = None, ε: float = EPS) -> Tensor:
    """Normalize every channel c over every group g of M / G_M consecutive samples."""
    M, C = X.shape[:2]
    X = X.double()
    Y = [[torch.empty(0)] * C for _ in range(M)]
    for S in groups(M, G_M):
        for c in range(C):
            μ, σ2 = moments([X[m, c] for m in S])
            for m in S:
                Y[m][c] = (X[m, c] - μ) / torch.sqrt(σ2 + ε)
    return affine(Y, γ, β)


def group_norm(X: Tensor, G_C: int, ε: float = EPS) -> Tensor:
    """Normalize every sample m over every group of C / G_C consecutive channels."""
    M, C = X.shape[:2]
    X = X.double()
    Y = [[torch.empty(0)] * C for _ in range(M)]
    for m in range(M):
        for S in groups(C, G_C):
            μ, σ2 = moments([X[m, c] for c in S])
            for c in S:
                Y[m][c] = (X[m, c] - μ) / torch.sqrt(σ2 + ε)
    return affine(Y, None, None)


def seq_norm(X: Tensor, G_C: int, G_M: int, γ: Tensor | None = None, β: Tensor | None = None, ε: float = EPS) -> Tensor:
    """GroupNorm first, then GhostNorm."""
    return ghost_norm(group_norm(X, G_C, ε), G_M, γ, β, ε)


class RunningStatistics:
    """What evaluation normalizes with: one exponential update per training step, starting from mean 0, variance 1."""

    def __init__(self, C: int, momentum: float = 0.1) -> None:
        self.mean = [0.0] * C
        self.var = [1.0] * C
        self.momentum = momentum

    def step(self, X: Tensor, G_M: int) -> None:
        """Move towards the mean over groups of each group's mean and Bessel-corrected variance."""
        M, C = X.shape[:2]
        X = X.double()
        for c in range(C):
            means, variances = [], []
            for S in groups(M, G_M):
                μ, σ2 = moments([X[m, c] for m in S])
                n = len(S) * X[0, c].numel()
                means.append(μ.item())
                variances.append(σ2.item() * n / (n - 1))
            self.mean[c] += self.momentum * (sum(means) / G_M - self.mean[c])
            self.var[c] += self.momentum * (sum(variances) / G_M - self.var[c])

    def evaluate(self, X: Tensor, γ: Tensor | None = None, β: Tensor | None = None, ε: float = EPS) -> Tensor:
        """Normalize every sample with the running statistics."""
        X = X.double()
        Y = [[(x[c] - self.mean[c]) / (self.var[c] + ε) ** 0.5 for c in range(X.shape[1])] for x in X]
        return affine(Y, γ, β)


def groups(length: int, G: int) -> list[range]:
    """Cut 0 … length - 1 into G runs of equal length."""
    N = length // G
    return [range(g * N, (g + 1) * N) for g in range(G)]


def moments(values: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the mean and the biased variance of every number in ``values``."""
    n = sum(v.numel() for v in values)
    μ = torch.stack([v.sum() for v in values]).sum() / n
    σ2 = torch.stack([((v - μ) ** 2).sum() for v in values]).sum() / n
    return μ, σ2


def affine(Y: Sequence[Sequence[Tensor]], γ: Tensor | None, β: Tensor | None) -> Tensor:
    """Scale every channel by γ, add β, and lay the pieces out as one tensor."""
    return torch.stack(
        [
            torch.stack(
                [y * (1.0 if γ is None else γ[c].double()) + (0.0 if β is None else β[c]) for c, y in enumerate(row)]
            )
            for row in Y
        ]
    )
