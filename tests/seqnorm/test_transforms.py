"""Every kind of derivative that torch's BatchNorm has, through every path of every layer, and vmap."""

import copy

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.autograd.functional import hessian as looped_hessian
from torch.autograd.functional import jacobian
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, stack_module_state, vmap
from torch.testing import assert_close

from seqnorm import BatchNorm, GhostNorm, GroupNorm, SeqNorm
from tests.seqnorm.shapes import draw, gradients

# torch scripts its decompositions when a first tangent is made
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script:FutureWarning")

LAYERS = {
    "BatchNorm": lambda **options: BatchNorm(4, **options),
    "GhostNorm": lambda **options: GhostNorm(4, gm=3, **options),
    "GhostNorm, in turn": lambda **options: GhostNorm(4, gm=3, running="sequential", momentum=None, **options),
    "shared GhostNorm": lambda **options: GhostNorm(4, gm=3, shared_var=True, running="pooled", **options),
    "unequal GhostNorm": lambda **options: GhostNorm(4, gm=4, uneven="unequal", **options),
    "SeqNorm": lambda **options: SeqNorm(4, gc=2, gm=3, **options),
    "reversed SeqNorm": lambda **options: SeqNorm(4, gc=2, gm=3, ghost_first=True, **options),
}
EVERY_LAYER = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
EVERY_LAYER_AND_GROUP_NORM = pytest.mark.parametrize(
    "make", [*LAYERS.values(), lambda: GroupNorm(4, gc=2)], ids=[*LAYERS, "GroupNorm"]
)
SPACES = pytest.mark.parametrize("space", [(), (2, 1)], ids=["flat", "images"])
TRAINING = pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])


def drawn(make, training=True):
    """Make a layer with weights of its own, which has seen a batch."""
    layer = make().double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(3))
    layer(draw(6, 4, 2, seed=8))
    return layer.train(training)


def plain(layer):
    """Whether the buffers hold numbers alone, without a transform's wrappers, tangents or gradients."""
    return not any(
        torch._C._functorch.is_functorch_wrapped_tensor(buffer) or buffer.requires_grad for buffer in layer.buffers()
    )


@EVERY_LAYER_AND_GROUP_NORM
@SPACES
@TRAINING
def test_tangents_and_batched_gradients_are_those_of_the_jacobian(make, space, training):
    layer, x, tangent = drawn(make, training), draw(6, 4, *space), draw(6, 4, *space, seed=1)
    expected = jacobian(layer, x)  # one backward pass for each output
    along_tangent = torch.tensordot(expected, tangent, x.dim())
    with forward_ad.dual_level():
        output = layer(forward_ad.make_dual(x, tangent))
        assert_close(forward_ad.unpack_dual(output).tangent, along_tangent)
        assert all(forward_ad.unpack_dual(buffer).tangent is None for buffer in layer.buffers())
    assert_close(jacobian(layer, x, vectorize=True), expected)
    assert_close(jacobian(layer, x, vectorize=True, strategy="forward-mode"), expected)
    assert_close(jvp(layer, (x,), (tangent,))[1], along_tangent)
    assert_close(jacrev(layer)(x), expected)
    assert_close(jacfwd(layer)(x), expected)
    assert plain(layer)


@EVERY_LAYER
@SPACES
def test_batched_gradients_of_weight_and_bias_are_those_of_a_loop(make, space):
    layer, x = drawn(make), draw(6, 4, *space).requires_grad_()
    upstream = draw(3, 6, 4, *space, seed=1)
    inputs = (x, *layer.parameters())
    together = torch.autograd.grad(layer(x), inputs, upstream, is_grads_batched=True)
    alone = [gradients(layer(x), inputs, one) for one in upstream]
    assert_close(together, tuple(torch.stack(every) for every in zip(*alone, strict=True)))
    assert not any(gradient.requires_grad for gradient in together)


@pytest.mark.parametrize("make", [LAYERS[name] for name in ("BatchNorm", "GhostNorm", "SeqNorm")])
@SPACES
def test_second_derivatives_agree_whichever_way_they_are_taken(make, space):
    layer, x, upstream = drawn(make), draw(6, 4, *space), draw(6, 4, *space, seed=1)

    def loss(x):
        return (layer(x).square() * upstream).sum()

    expected = looped_hessian(loss, x)
    assert_close(looped_hessian(loss, x, vectorize=True), expected)
    assert_close(looped_hessian(loss, x, vectorize=True, outer_jacobian_strategy="forward-mode"), expected)
    assert_close(hessian(loss)(x), expected)
    assert plain(layer)


@EVERY_LAYER
@SPACES
@pytest.mark.parametrize(
    "transformed",
    [
        lambda layer, x: jvp(layer, (x,), (x,)),
        lambda layer, x: grad(lambda x: layer(x).square().sum())(x),
        lambda layer, x: jvp(grad(lambda x: layer(x).pow(3).sum()), (x,), (x,)),
        lambda layer, x: grad(lambda p: functional_call(layer, p, (x,)).square().sum())(dict(layer.named_parameters())),
    ],
    ids=["jvp", "grad", "jvp of grad", "grad of weights"],
)
def test_running_statistics_move_inside_a_transform_as_outside(make, space, transformed):
    layer, x = drawn(make), draw(6, 4, *space)
    twin = copy.deepcopy(layer)
    twin(x)
    transformed(layer, x)
    assert plain(layer)
    assert_close(list(layer.buffers()), list(twin.buffers()))


@EVERY_LAYER
@SPACES
def test_statistics_passed_to_a_transformed_function_are_updated_in_it(make, space):
    layer, x = drawn(make), draw(6, 4, *space)
    twin = copy.deepcopy(layer)
    twin(x)
    parameters, buffers = dict(layer.named_parameters()), {k: v.clone() for k, v in layer.named_buffers()}
    grad(lambda p, b: functional_call(layer, (p, b), (x,)).square().sum())(parameters, buffers)
    assert_close(buffers, dict(twin.named_buffers()))


@EVERY_LAYER
@SPACES
@TRAINING
def test_an_ensemble_with_statistics_of_its_own_is_a_loop_over_layers(make, space, training):
    layers, x = [drawn(make, training), drawn(make, training)], draw(6, 4, *space)
    nn.init.normal_(layers[1].weight)
    parameters, buffers = stack_module_state(layers)
    together = vmap(lambda p, b: functional_call(layers[0], (p, b), (x,)))(parameters, buffers)
    assert_close(together, torch.stack([layer(x) for layer in layers]))
    for name, stacked in buffers.items():
        assert_close(stacked, torch.stack([layer.get_buffer(name) for layer in layers]))


@EVERY_LAYER
@SPACES
@TRAINING
def test_batches_are_vmapped_where_no_statistics_are_shared(make, space, training):
    layer, x = make(track_running_stats=False).double().train(training), draw(3, 6, 4, *space)
    assert_close(vmap(layer)(x), torch.stack([layer(batch) for batch in x]))
    per_batch = vmap(grad(lambda x: layer(x).pow(3).sum()))(x)
    assert_close(per_batch, torch.stack([grad(lambda x: layer(x).pow(3).sum())(batch) for batch in x]))


@EVERY_LAYER
@SPACES
def test_in_evaluation_samples_are_vmapped_with_the_running_statistics(make, space):
    layer, x = drawn(make, training=False), draw(6, 4, *space)
    assert_close(vmap(lambda sample: layer(sample[None])[0])(x), layer(x))


@EVERY_LAYER
@SPACES
def test_shared_statistics_are_not_vmapped_which_torch_refuses_too(make, space):
    batches = draw(3, 6, 4, *space)
    for layer in (drawn(make), nn.BatchNorm1d(4).double() if not space else nn.BatchNorm2d(4).double()):
        with pytest.raises(RuntimeError, match=r"will be updated in place|inplace arithmetic"):
            vmap(layer)(batches)


@EVERY_LAYER_AND_GROUP_NORM
@SPACES
@TRAINING
def test_a_batch_of_nothing_gives_nothing_and_moves_nothing(make, space, training):
    layer, x = drawn(make, training), draw(0, 4, *space).requires_grad_()
    before = [buffer.clone() for buffer in layer.buffers()]
    output = layer(x)
    output.sum().backward()
    assert output.shape == x.shape
    assert x.grad.shape == x.shape
    assert layer.weight.grad.eq(0).all()
    assert layer.bias.grad.eq(0).all()
    assert_close(list(layer.buffers()), before, rtol=0, atol=0)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_a_batch_of_nothing_is_no_batch_in_the_cumulative_average(momentum):
    layer = GhostNorm(4, gm=2, momentum=momentum).double()
    twin = copy.deepcopy(layer)
    for samples in (4, 0, 8):
        layer(draw(samples, 4, 2))
        if samples:
            twin(draw(samples, 4, 2))
    assert_close(layer.state_dict(), twin.state_dict())
    theirs = nn.BatchNorm1d(4)
    assert theirs(torch.zeros(0, 4, 2)).shape == (0, 4, 2)
