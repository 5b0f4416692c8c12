"""Apply a chain of normalizations to an activation: one pass centres its rows, one scales and shifts them.

Backward reads the activation and the output's gradient twice. It needs the activation and O(M·C) saved values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

from seqnorm import chain
from seqnorm.chain import Link, Step, TensorGroups
from seqnorm.rows import affine, as_rows, centre, combine, empty_rows, inner_products, rows_like, statistics_dtype


class Statistics(NamedTuple):
    """A step's group means and biased variances, in the shape of the step's view."""

    mean: Tensor
    var: Tensor


def normalize(
    input: Tensor, steps: Sequence[Step], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, list[Statistics]]:
    """Apply the steps to the rows of ``input``, then scale each channel by ``weight`` and add ``bias``.

    Args:
        input: ``(M, C)`` or ``(M, C, *spatial)``, floating.
        steps: at least one.
        weight, bias: ``(C,)`` or None.
        eps: added to every variance.

    Returns:
        The output, with shape, dtype and memory layout of ``input``, and each step's statistics, without gradients.
    """
    if needs_autograd(input, steps):
        output, links = normalize_with_autograd(input, steps, weight, bias, eps)
        return output, [Statistics(link.group_mean.detach(), link.group_var.detach()) for link in links]
    output, *found = Normalize.apply(input, weight, bias, tuple(steps), eps)
    return output, [Statistics(*pair) for pair in zip(found[::2], found[1::2], strict=True)]


def needs_autograd(input: Tensor, steps: Sequence[Step]) -> bool:
    """Whether the backward pass must come from the compiler, torch.func or autograd instead of :class:`Normalize`.

    Autograd is also used if a row is one value, which leaves nothing to read twice, and if counts are tensors.
    """
    return (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]  # torch leaves it untyped
        or input.dim() == 2
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0  # a tangent needs forward rules, which torch's own operations have
        or any(isinstance(step, TensorGroups) for step in steps)
    )


def normalize_with_autograd(
    input: Tensor, steps: Sequence[Step], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, list[Link]]:
    """Normalize with differentiable operations; torch.compile fuses them into two loops forward and two backward."""
    x = input.to(statistics_dtype(input.dtype))
    if input.dim() == 2:  # every value is a row of its own: its mean is the value, its variance 0
        mean, scale, links = chain.forward(x, torch.zeros_like(x), steps, eps)
        return per_channel(mean, scale, weight, bias)[0].to(input.dtype), links
    var, mean = torch.var_mean(x, tuple(range(2, input.dim())), correction=0, keepdim=True)
    mean_after, scale, links = chain.forward(mean.flatten(1), var.flatten(1), steps, eps)
    mean_after, scale = (matrix.view_as(mean) for matrix in per_channel(mean_after, scale, weight, bias))
    return ((x - mean) * scale + mean_after).to(input.dtype), links


def per_channel(mean: Tensor, scale: Tensor, weight: Tensor | None, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """Fold ``weight`` and ``bias`` into the rows' mean and scale."""
    if weight is not None:
        mean, scale = mean * weight, scale * weight
    return mean if bias is None else mean + bias, scale


class Normalize(torch.autograd.Function):
    """The eager path: a hand-written backward saves memory and memory passes."""

    @staticmethod
    def forward(
        ctx: Any, input: Tensor, weight: Tensor | None, bias: Tensor | None, steps: Sequence[Step], eps: float
    ) -> tuple[Tensor, ...]:
        """Return the output, and each step's mean and variance."""
        rows, axis = as_rows(input)
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
        # small (M, C) matrices: set as attributes, so hooks that offload saved tensors ignore them
        ctx.row_statistics = mean, mean_after, scale_before_weight, scale
        ctx.steps, ctx.links, ctx.eps = steps, links, eps
        statistics = [found.detach() for link in links for found in (link.group_mean, link.group_var)]
        ctx.mark_non_differentiable(*statistics)
        return output, *statistics

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of input, weight and bias."""
        input, weight, bias = ctx.saved_tensors
        if torch.is_grad_enabled() or is_vmapped(grad_output):
            # create_graph=True: the gradient itself must be differentiable; is_grads_batched=True: the passes in blocks
            # have no batching rules
            return *gradients_by_autograd(input, weight, bias, ctx.steps, ctx.eps, grad_output), None, None
        mean, mean_after, scale_before_weight, scale = ctx.row_statistics
        rows, axis = as_rows(input)
        grad_rows = rows_like(grad_output, axis)
        grad_offset, grad_scale = inner_products(grad_rows, rows, axis, mean)
        grad_weight = grad_bias = None
        if weight is not None:
            grad_weight = (
                torch.addcmul(grad_scale * scale_before_weight, grad_offset, mean_after).sum(0).to(weight.dtype)
            )
        if bias is not None:
            grad_bias = grad_offset.sum(0).to(bias.dtype)
        if not ctx.needs_input_grad[0]:
            return None, grad_weight, grad_bias, None, None
        grad_mean, grad_var = chain.adjoint(
            ctx.links,
            grad_offset if weight is None else grad_offset * weight,
            grad_scale if weight is None else grad_scale * weight,
        )
        # y = scale · (x − m) + offset, and m and v depend on every x: dm/dx = 1 / F, dv/dx = 2 (x − m) / F
        positions = rows.shape[axis]
        slope = grad_var * (2 / positions)
        shift = torch.addcmul(grad_mean, scale, grad_offset, value=-1).div_(positions).addcmul_(slope, mean, value=-1)
        grad_input, grad_input_rows = empty_rows(rows, axis, input.shape)
        combine(grad_rows, rows, axis, scale, slope, shift, grad_input_rows)
        return grad_input, grad_weight, grad_bias, None, None


def is_vmapped(tensor: Tensor) -> bool:
    """Whether operations on the tensor need batching rules, of ``torch.func`` or of ``is_grads_batched``."""
    return torch._C._are_functorch_transforms_active() or torch._C._functorch.is_legacy_batchedtensor(tensor)


def gradients_by_autograd(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, steps: Sequence[Step], eps: float, grad_output: Tensor
) -> list[Tensor | None]:
    """Return gradients of input, weight and bias, differentiable if gradients are recorded."""
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        output, _ = normalize_with_autograd(input, steps, weight, bias, eps)
        inputs = [tensor for tensor in (input, weight, bias) if tensor is not None and tensor.requires_grad]
        found = iter(torch.autograd.grad(output, inputs, grad_output, create_graph=create_graph))
    return [next(found) if tensor is not None and tensor.requires_grad else None for tensor in (input, weight, bias)]
