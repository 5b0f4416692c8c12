"""Small inputs for properties that must hold for every shape."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor


@dataclass(frozen=True)
class Case:
    """An input with group counts that divide it."""

    gm: int
    gc: int
    shape: tuple[int, ...]  #: (M, C) or (M, C, H, W)
    seed: int

    def input(self) -> Tensor:
        """Draw values of no particular mean and variance; asks for gradients."""
        return (3 * torch.randn(self.shape, generator=self._generator()) - 1).double().requires_grad_()

    def weight_and_bias(self) -> tuple[Tensor, Tensor]:
        """Draw γ and β."""
        drawn = torch.randn(2, self.shape[1], generator=self._generator().manual_seed(self.seed + 1)).double()
        return drawn[0].clone().requires_grad_(), drawn[1].clone().requires_grad_()

    def upstream(self) -> Tensor:
        """Draw a gradient for the output: with ones a normalized sum has none."""
        return torch.randn(self.shape, generator=self._generator().manual_seed(self.seed + 2)).double()

    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw gm groups of 2 or 3 samples × gc groups of 2 or 3 channels, flat or with positions in space."""
    gm, gc = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    M, C = gm * draw(st.integers(2, 3)), gc * draw(st.integers(2, 3))
    space = draw(st.sampled_from([(), (1, 1), (2, 1), (2, 3)]))
    return Case(gm, gc, (M, C, *space), draw(st.integers(0, 2**16)))
