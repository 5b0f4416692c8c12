"""Single precision far from 0, where torch's own layers are the measure, and inputs without any variance."""

from math import log2

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from seqnorm import (
    BatchNorm,
    GhostNorm,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    NoisyBatchNorm,
    SeqNorm,
    ghost_norm,
    group_norm,
    seq_norm,
)
from tests.seqnorm.shapes import laid_out

SHAPES = [(16, 8, 16, 16), (8, 128, 16, 16)]  # samples of the latter are large enough for another way to statistics
EPS = torch.finfo(torch.float32).eps


def allowed(theirs, x):
    """Return the largest error that is as good as torch's: three times its own, and never less than rounding explains.

    Some kernels add up in an order that happens to suit the input, so torch's error alone is no measure. But torch adds
    n numbers in pairs: their mean is off by log2(n) halves of EPS at most, relative to the largest, in whatever order
    the pairs are. As much again is for what follows: variance, products, and the mean over rows. What this must tell
    from rounding, E[x²] − E[x]², is off by about 1,000 EPS at an offset of 100.
    """
    positions = x[0, 0].numel()
    return max(3 * theirs, log2(positions) * EPS * x.abs().max().item())


def batch_norm(x):
    return F.batch_norm(x, None, None, training=True)


def in_chunks(x):
    return torch.cat([batch_norm(chunk) for chunk in x.chunk(4)])


NORMS = {
    "BatchNorm": (lambda x: ghost_norm(x, 1), batch_norm),
    "GroupNorm": (lambda x: group_norm(x, 4), lambda x: F.group_norm(x, 4)),
    "LayerNorm": (lambda x: group_norm(x, 1), lambda x: F.group_norm(x, 1)),
    "InstanceNorm": (lambda x: group_norm(x, x.shape[1]), lambda x: F.group_norm(x, x.shape[1])),
    "GhostNorm": (lambda x: ghost_norm(x, 4), in_chunks),
    "GhostNorm of a tensor": (lambda x: ghost_norm(x, torch.tensor(4)), in_chunks),
    "SeqNorm": (lambda x: seq_norm(x, 4, 4), lambda x: in_chunks(F.group_norm(x, 4))),
    "SeqNorm of tensors": (
        lambda x: seq_norm(x, torch.tensor(4), torch.tensor(4)),
        lambda x: in_chunks(F.group_norm(x, 4)),
    ),
}


def output_and_gradient(norm, x, upstream):
    x = x.detach().requires_grad_()
    output = norm(x)
    return torch.stack([output.detach(), *torch.autograd.grad(output, x, upstream)])


@pytest.mark.parametrize("offset", [0, 1e2, 1e4])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NORMS)
def test_output_and_gradient_are_as_accurate_as_torchs(name, shape, layout, offset):
    ours, theirs = NORMS[name]
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        x = laid_out(torch.randn(shape, generator=generator) + offset, layout)
        upstream = laid_out(torch.randn(shape, generator=generator), layout)  # no larger than x, and so its gradient
        exact = output_and_gradient(theirs, x.double(), upstream.double())
        errors = [(output_and_gradient(norm, x, upstream) - exact).abs().flatten(1).amax(1) for norm in (ours, theirs)]
        for of_ours, of_theirs in zip(*(error.tolist() for error in errors), strict=True):  # of output, of gradient
            assert of_ours <= allowed(of_theirs, x)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("shape", [(2, 3, 224, 224), (2, 3, 700, 700)])
def test_long_rows_are_as_accurate_as_torchs(shape, layout):
    x = laid_out(torch.randn(shape, generator=torch.Generator().manual_seed(0)), layout)
    exact = seq_norm(x.double(), 1, 1)
    theirs = batch_norm(F.group_norm(x, 1)) - exact
    assert (seq_norm(x, 1, 1) - exact).abs().amax() <= allowed(theirs.abs().amax().item(), x)


LAYERS = {
    "BatchNorm": lambda: BatchNorm(8),
    "GhostNorm": lambda: GhostNorm(8, gm=2),
    "GhostNorm, strided": lambda: GhostNorm(8, gm=2, strided=True),
    "GhostNorm, shared variance": lambda: GhostNorm(8, gm=2, shared_var=True),
    "GroupNorm": lambda: GroupNorm(8, gc=2),
    "LayerNorm": lambda: LayerNorm(8),
    "InstanceNorm": lambda: InstanceNorm(8),
    "NoisyBatchNorm": lambda: NoisyBatchNorm(8, sigma=0, gm=2),
    "SeqNorm": lambda: SeqNorm(8, gc=2, gm=2),
    "SeqNorm, reversed": lambda: SeqNorm(8, gc=2, gm=2, ghost_first=True),
    "SeqNorm, shared variance": lambda: SeqNorm(8, gc=2, gm=2, shared_var=True),
}
CONSTANT = {
    "a row": (1, 2),
    "a group of channels": (1, slice(4)),
    "a sample": (1,),
    "a channel": (slice(None), 2),
    "everything": (...,),
}


@pytest.mark.parametrize("value", [0.0, 0.1, 3.0, -1e4])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("space", [(), (3, 3)])
@pytest.mark.parametrize("constant", CONSTANT)
@pytest.mark.parametrize("name", LAYERS)
def test_what_is_constant_gives_finite_outputs_and_gradients(name, constant, space, layout, value):
    if name == "InstanceNorm" and not space:
        return  # refused: groups of one value
    layer = LAYERS[name]()
    x = torch.randn(4, 8, *space, generator=torch.Generator().manual_seed(0))
    x[CONSTANT[constant]] = value
    x = laid_out(x, layout).requires_grad_()
    output = layer(x)
    output.square().sum().backward()
    for tensor in (output, x.grad, layer.weight.grad, layer.bias.grad, *layer.buffers(), layer.eval()(x)):
        assert tensor.isfinite().all()


@pytest.mark.parametrize("counts", [(1, 1), (2, 2), (0, 4)])
@pytest.mark.parametrize("space", [(), (3, 3)])
@pytest.mark.parametrize("constant", CONSTANT)
def test_counts_as_tensors_have_finite_gradients_too(constant, space, counts):
    x = torch.randn(8, 8, *space, generator=torch.Generator().manual_seed(0))
    x[CONSTANT[constant]] = 3.0
    output = seq_norm(x.requires_grad_(), *map(torch.tensor, counts))
    output.square().sum().backward()
    assert output.isfinite().all()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("space", [(3,), (2, 2)])
def test_a_constant_input_becomes_the_bias(name, space, layout):
    layer = LAYERS[name]()
    torch.nn.init.constant_(layer.bias, 0.5)
    x = laid_out(torch.full((4, 8, *space), 3.0), layout)
    # x and its mean are each in a product with 1/√ε, of some 950; eight roundings of such numbers leave this much
    assert_close(layer(x), torch.full_like(x, 0.5), rtol=0, atol=8 * EPS * 3.0 / layer.eps**0.5)
