"""Small inputs for properties that must hold for every shape, layout and option, and what tests do with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from seqnorm import functional, rows

LAYOUTS = ("contiguous", "channels_last", "transposed", "sliced", "skipping")
UPSTREAM_LAYOUTS = (*LAYOUTS, "expanded")


@dataclass(frozen=True, kw_only=True)
class Case:
    """An input with group counts that divide it, how it lies in memory, and what is asked of the norm."""

    gm: int
    gc: int
    shape: tuple[int, ...]  #: (M, C) or (M, C, *spatial)
    layout: str
    upstream_layout: str
    has_weight: bool
    has_bias: bool
    strided: bool
    shared_var: bool
    run: int  #: samples in a block of rows.py
    loop: bool  #: whether fully connected layers loop over groups
    seed: int

    def input(self) -> Tensor:
        """Draw values of no particular mean and variance; asks for gradients."""
        return laid_out(draw(*self.shape, seed=self.seed), self.layout).requires_grad_()

    def weight_and_bias(self) -> tuple[Tensor | None, Tensor | None]:
        """Draw γ and β, where there are any."""
        weight, bias = (draw(self.shape[1], seed=self.seed + i).requires_grad_() for i in (1, 2))
        return weight if self.has_weight else None, bias if self.has_bias else None

    def upstream(self) -> Tensor:
        """Draw a gradient for the output: with ones a normalized sum has none."""
        return laid_out(draw(*self.shape, seed=self.seed + 3), self.upstream_layout)

    def ghost_options(self) -> dict[str, bool]:
        """Return the options of the GhostNorm half."""
        return {"strided": self.strided, "shared_var": self.shared_var}

    @contextmanager
    def ways(self) -> Iterator[None]:
        """Cut the input into runs of samples, and send fully connected layers one of their two ways."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rows, "BLOCK_SIZE", self.run * prod(self.shape[1:]))
            patch.setattr(functional, "MIN_LOOP_GROUP_SIZE", 0 if self.loop else 2**60)
            yield


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw gm groups of 2 or 3 samples × gc groups of 2 or 3 channels, flat or with positions in space."""
    gm, gc = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    M, C = gm * draw(st.integers(2, 3)), gc * draw(st.integers(2, 3))
    space = draw(st.sampled_from([(), (1,), (1, 1), (3,), (2, 1), (2, 3), (1, 2, 2)]))
    yes_or_no = st.booleans()
    return Case(
        gm=gm,
        gc=gc,
        shape=(M, C, *space),
        layout=draw(st.sampled_from(LAYOUTS)),
        upstream_layout=draw(st.sampled_from(UPSTREAM_LAYOUTS)),
        has_weight=draw(yes_or_no),
        has_bias=draw(yes_or_no),
        strided=draw(yes_or_no),
        shared_var=draw(yes_or_no),
        run=draw(st.sampled_from([1, 2, 4, 100])),
        loop=draw(yes_or_no),
        seed=draw(st.integers(0, 2**16)),
    )


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Draw values of mean 1 and standard deviation 2."""
    return (2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) + 1).to(dtype)


def laid_out(tensor: Tensor, layout: str) -> Tensor:
    """Copy a tensor into another memory layout; ``expanded`` keeps one value for every sample."""
    match layout:
        case "contiguous":
            return tensor.clone()
        case "channels_last":  # of every number of dimensions
            return tensor.movedim(1, -1).contiguous().movedim(-1, 1)
        case "transposed":
            return tensor.mT.contiguous().mT
        case "sliced":
            return tensor.repeat_interleave(2, dim=-1)[..., ::2]
        case "skipping":  # every other sample
            return tensor.repeat_interleave(2, dim=0)[::2]
        case "expanded":
            return tensor.flatten(1)[:, 0].view(-1, *[1] * (tensor.dim() - 1)).expand(tensor.shape)
    raise AssertionError(layout)


def gradients(output: Tensor, inputs: tuple[Tensor | None, ...], upstream: Tensor) -> tuple[Tensor, ...]:
    """Return the gradients of those inputs that are there."""
    return torch.autograd.grad(output, [tensor for tensor in inputs if tensor is not None], upstream)


def refused(call: Callable[[], object]) -> str:
    """Return the message of the ValueError that ``call`` raises."""
    with pytest.raises(ValueError) as caught:
        call()
    return str(caught.value)
