"""The chain on matrices of rows: what it says of the rows is so, and its derivative by hand is autograd's."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from seqnorm import chain
from seqnorm.chain import FixedStatistics, Groups, Step, TensorGroups
from tests.seqnorm import reference
from tests.seqnorm.shapes import draw


@dataclass(frozen=True)
class Chain:
    """Rows of so many samples and channels, and steps to take on them."""

    samples: int
    channels: int
    steps: list[Step]
    eps: float
    seed: int

    def rows(self) -> tuple[Tensor, Tensor]:
        """Draw their means and variances; asks for gradients."""
        mean, var = (draw(self.samples, self.channels, seed=self.seed + i) for i in (0, 1))
        return mean.requires_grad_(), var.square().requires_grad_()


@st.composite
def chains(draw_from: st.DrawFn) -> Chain:
    """Draw 1 to 3 steps: groups of channels, groups of samples of every kind, or known statistics."""
    M, C = draw_from(st.sampled_from([2, 4, 6])), draw_from(st.sampled_from([1, 2, 4, 6]))
    seed = draw_from(st.integers(0, 2**16))

    def divisor(size):
        return draw_from(st.sampled_from([count for count in range(1, size + 1) if size % count == 0]))

    def step(kind):
        if kind == "channels":
            return Groups.over_channels(M, C, divisor(C))
        if kind == "samples":
            return Groups.over_samples(M, C, divisor(M), draw_from(st.booleans()), draw_from(st.booleans()))
        return FixedStatistics(draw(C, seed=seed + 2), draw(C, seed=seed + 3).square())

    kinds = draw_from(st.lists(st.sampled_from(["channels", "samples", "known"]), min_size=1, max_size=3))
    return Chain(M, C, [step(kind) for kind in kinds], draw_from(st.sampled_from([0.1, 1.0])), seed)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(drawn=chains())
def test_the_derivative_by_hand_is_autograds(drawn: Chain):
    rows = drawn.rows()
    upstream = [draw(drawn.samples, drawn.channels, seed=drawn.seed + i) for i in (4, 5)]
    mean, scale, _ = chain.forward(*rows, drawn.steps, drawn.eps)
    loss = (mean * upstream[0] + scale * upstream[1]).sum()
    expected = torch.autograd.grad(loss, rows, materialize_grads=True)  # known statistics have no use for the variance
    with torch.no_grad():
        _, _, links = chain.forward(*rows, drawn.steps, drawn.eps)
        assert_close(chain.adjoint(links, *upstream), expected)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(drawn=chains())
def test_the_derivative_leaves_its_arguments_as_they_were(drawn: Chain):
    upstream = [draw(drawn.samples, drawn.channels, seed=drawn.seed + i) for i in (4, 5)]
    before = [gradient.clone() for gradient in upstream]
    with torch.no_grad():
        _, _, links = chain.forward(*drawn.rows(), drawn.steps, drawn.eps)
        first = chain.adjoint(links, *upstream)
        assert_close(chain.adjoint(links, *upstream), first, rtol=0, atol=0)  # nor were the links changed
    assert all(gradient.equal(was) for gradient, was in zip(upstream, before, strict=True))


def row_by_row(x, steps):
    """Normalize by a chain: its rows' means and variances in, a scale and a mean for every row out."""
    mean, var = x.mean(2), x.var(2, correction=0)
    mean_after, scale, _ = chain.forward(mean, var, steps, reference.EPS)
    return scale[:, :, None] * (x - mean[:, :, None]) + mean_after[:, :, None]


def literally(x, steps):
    """Take the same steps over every number."""
    for norm, count, options in steps:
        x = norm(x, count, **options)
    return x


@pytest.mark.parametrize(
    "steps",
    [
        [(reference.group_norm, 2, {})],
        [(reference.ghost_norm, 3, {})],
        [(reference.ghost_norm, 3, {"strided": True})],
        [(reference.ghost_norm, 3, {"shared_var": True})],
        [(reference.ghost_norm, 2, {}), (reference.group_norm, 2, {}), (reference.ghost_norm, 3, {"strided": True})],
        [(reference.group_norm, 4, {}), (reference.group_norm, 1, {}), (reference.ghost_norm, 1, {})],
    ],
    ids=lambda steps: "-".join(f"{norm.__name__}({count})" for norm, count, _ in steps),
)
def test_a_chain_over_rows_is_the_norms_over_every_number(steps):
    x = draw(6, 4, 3)

    def as_step(norm, count, options):
        if norm is reference.group_norm:
            return Groups.over_channels(6, 4, count)
        flags = {"strided": False, "shared_var": False, **options}
        return Groups.over_samples(6, 4, count, **flags)

    assert_close(row_by_row(x, [as_step(*step) for step in steps]), literally(x, steps))


def test_known_statistics_normalize_every_row_alike():
    x, mean, var = draw(6, 4, 3), draw(4, seed=1), draw(4, seed=2).square()
    expected = (x - mean[:, None]) / (var[:, None] + reference.EPS).sqrt()
    assert_close(row_by_row(x, [FixedStatistics(mean, var)]), expected)


@pytest.mark.parametrize("gc", [1, 2, 3, 6])
def test_assigned_channels_are_the_groups_of_channels(gc):
    x = draw(4, 6, 3)
    assigned = TensorGroups.assign(6, torch.tensor(gc), reference.EPS, over_channels=True)
    assert_close(row_by_row(x, [assigned]), reference.group_norm(x, gc))


@pytest.mark.parametrize("gm", [1, 2, 3, 6])
@pytest.mark.parametrize("options", [{}, {"strided": True}, {"shared_var": True}], ids=str)
def test_assigned_samples_are_the_groups_of_samples(gm, options):
    x = draw(6, 4, 3)
    assigned = TensorGroups.assign(6, torch.tensor(gm), reference.EPS, over_channels=False, **options)
    assert_close(row_by_row(x, [assigned]), reference.ghost_norm(x, gm, **options))


@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize(("size", "count"), [(7, 2), (7, 3), (10, 4), (5, 5), (9, 2)])
def test_assigned_groups_differ_by_one_at_most(size, count, strided):
    assigned = TensorGroups.assign(size, torch.tensor(count), 0.0, over_channels=False, strided=strided)
    averaging = assigned.mean(torch.eye(size))
    assert_close(averaging.sum(1), torch.ones(size))
    sizes = (1 / averaging.diagonal()).round().int()
    assert sizes.max() - sizes.min() <= 1
    assert averaging.diagonal().sum().round() == count  # every group adds 1


def test_no_groups_leave_the_rows_as_they_are():
    x = draw(4, 6, 3)
    nothing = TensorGroups.assign(6, torch.tensor(0), reference.EPS, over_channels=True)
    assert_close(row_by_row(x, [nothing]), x)
