"""A chain of normalizations applied to an activation: one pass that centres its rows, one that scales and shifts them.

The backward pass reads the activation and the output's gradient twice, and saves the activation and O(M·C) numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqnorm import chain
from seqnorm.chain import Assigned, Link, Step
from seqnorm.rows import affine, centre, combine, empty_rows, inner_products, rows_like, rows_of, statistics_dtype


class Statistics(NamedTuple):
    """The mean and biased variance that a step found in its groups, in the shape of the step's view."""

    mean: Tensor
    var: Tensor


def normalize(
    input: Tensor, steps: Sequence[Step], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, list[Statistics]]:
    """Take the steps on the rows of ``input``, then scale each channel by ``weight`` and add ``bias``.

    Args:
        input: ``(M, C)`` or ``(M, C, *spatial)``, floating.
        steps: at least one.
        weight, bias: ``(C,)`` or None.
        eps: added to every variance.

    Returns:
        The output, in shape, dtype and memory layout of ``input``, and each step's statistics, without gradients.
    """
    if composed(input, steps):
        output, links = compose(input, steps, weight, bias, eps)
        return output, [Statistics(link.group_mean.detach(), link.group_var.detach()) for link in links]
    output, *found = Normalize.apply(input, weight, bias, tuple(steps), eps)
    return output, [Statistics(*pair) for pair in zip(found[::2], found[1::2], strict=True)]


def composed(input: Tensor, steps: Sequence[Step]) -> bool:
    """Whether to leave the derivative to the compiler, to torch.func, or to autograd.

    To autograd where a row is one number, so that there is nothing to read twice, and where counts are tensors.
    """
    return (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]  # torch leaves it untyped
        or input.dim() == 2
        or torch._C._are_functorch_transforms_active()
        or any(isinstance(step, Assigned) for step in steps)
    )


def compose(
    input: Tensor, steps: Sequence[Step], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, list[Link]]:
    """Say it in differentiable operations, which a compiler makes two loops of, and two more for the gradients."""
    x = input.to(statistics_dtype(input.dtype))
    if input.dim() == 2:  # every number is a row of its own: its mean is all of it
        mean, scale, links = chain.forward(x, torch.zeros_like(x), steps, eps)
        return per_channel(mean, scale, weight, bias)[0].to(input.dtype), links
    var, mean = torch.var_mean(x, tuple(range(2, input.dim())), correction=0, keepdim=True)
    mean_after, scale, links = chain.forward(mean.flatten(1), var.flatten(1), steps, eps)
    mean_after, scale = (matrix.view_as(mean) for matrix in per_channel(mean_after, scale, weight, bias))
    return ((x - mean) * scale + mean_after).to(input.dtype), links


def per_channel(mean: Tensor, scale: Tensor, weight: Tensor | None, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """Apply ``weight`` and ``bias`` to the rows' mean and scale."""
    if weight is not None:
        mean, scale = mean * weight, scale * weight
    return mean if bias is None else mean + bias, scale


class Normalize(torch.autograd.Function):
    """The same in eager PyTorch, where the derivative by hand saves memory and passes over it."""

    @staticmethod
    def forward(
        ctx: Any, input: Tensor, weight: Tensor | None, bias: Tensor | None, steps: Sequence[Step], eps: float
    ) -> tuple[Tensor, ...]:
        """Return the output, and each step's mean and variance."""
        rows, axis = rows_of(input)
        output, written = empty_rows(rows, axis, input.shape)
        dtype = statistics_dtype(input.dtype)
        work = written if written.dtype == dtype else torch.empty_like(written, dtype=dtype)
        mean, var = centre(rows, axis, work)
        mean_after, scale_before_weight, links = chain.forward(mean, var, steps, eps)
        offset, scale = per_channel(mean_after, scale_before_weight, weight, bias)
        affine(rows, axis, mean, scale, offset, work)
        if work is not written:
            written.copy_(work)
        ctx.save_for_backward(input, weight, bias)
        # small, of this pass alone: not worth a hook that moves saved tensors elsewhere
        ctx.of_rows = mean, mean_after, scale_before_weight, scale
        ctx.steps, ctx.links, ctx.eps = steps, links, eps
        statistics = [found.detach() for link in links for found in (link.group_mean, link.group_var)]
        ctx.mark_non_differentiable(*statistics)
        return output, *statistics

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients for input, weight and bias."""
        input, weight, bias = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody will differentiate the gradient
            return *differentiable_gradients(input, weight, bias, ctx.steps, ctx.eps, gradient), None, None
        mean, mean_after, scale_before_weight, scale = ctx.of_rows
        rows, axis = rows_of(input)
        upstream = rows_like(gradient, axis)
        to_offset, to_scale = inner_products(upstream, rows, axis, mean)
        to_weight = to_bias = None
        if weight is not None:
            to_weight = torch.addcmul(to_scale * scale_before_weight, to_offset, mean_after).sum(0).to(weight.dtype)
        if bias is not None:
            to_bias = to_offset.sum(0).to(bias.dtype)
        if not ctx.needs_input_grad[0]:
            return None, to_weight, to_bias, None, None
        to_mean, to_var = chain.adjoint(
            ctx.links,
            to_offset if weight is None else to_offset * weight,
            to_scale if weight is None else to_scale * weight,
        )
        # y = scale · (x − m) + offset, and every x has its share in m and v: dm/dx = 1 / F, dv/dx = 2 (x − m) / F
        positions = rows.shape[axis]
        slope = to_var * (2 / positions)
        shift = torch.addcmul(to_mean, scale, to_offset, value=-1).div_(positions).addcmul_(slope, mean, value=-1)
        to_input, to_input_rows = empty_rows(rows, axis, input.shape)
        combine(upstream, rows, axis, scale, slope, shift, to_input_rows)
        return to_input, to_weight, to_bias, None, None


def differentiable_gradients(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, steps: Sequence[Step], eps: float, gradient: Tensor
) -> list[Tensor | None]:
    """Return the gradients for input, weight and bias as functions of them, for derivatives of higher order."""
    output, _ = compose(input, steps, weight, bias, eps)
    wanted = [tensor for tensor in (input, weight, bias) if tensor is not None and tensor.requires_grad]
    found = iter(torch.autograd.grad(output, wanted, gradient, create_graph=True))
    return [next(found) if tensor is not None and tensor.requires_grad else None for tensor in (input, weight, bias)]
