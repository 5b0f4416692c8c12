"""gm and gc as tensors: one program for every number of groups, with the results of ints."""

import copy

import pytest
import torch
from torch.func import grad, vmap
from torch.testing import assert_close

from seqnorm import GhostNorm, NoisyBatchNorm, SeqNorm, ghost_norm, group_norm, seq_norm
from tests.seqnorm.shapes import draw, gradients, laid_out, refused

SPACES = [(), (1, 1), (3,), (2, 2)]
OPTIONS = [{}, {"strided": True}, {"shared_var": True}, {"strided": True, "shared_var": True}]
EXACT = {"rtol": 1e-12, "atol": 1e-12}


def count(number, dtype=torch.int64):
    return torch.tensor(number, dtype=dtype)


def both(norm, x, *counts, **options):
    """Return output and gradients, for input, weight and bias, with counts as tensors and as ints."""
    C = x.shape[1]
    every = x.requires_grad_(), draw(C, seed=1).requires_grad_(), draw(C, seed=2).requires_grad_()
    upstream = draw(*x.shape, seed=3)
    outputs = (
        norm(x, *given, weight=every[1], bias=every[2], **options) for given in ([count(n) for n in counts], counts)
    )
    return [(output, *gradients(output, every, upstream)) for output in outputs]


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("gm", [1, 2, 3, 4, 6])
def test_a_ghost_norm_is_that_of_an_int(space, options, gm):
    of_tensors, of_ints = both(ghost_norm, draw(12, 4, *space), gm, **options)
    assert_close(of_tensors, of_ints, **EXACT)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("gc", [1, 2, 3, 6])
def test_a_group_norm_is_that_of_an_int(space, gc):
    if space not in ((), (1, 1)) or gc < 6:
        of_tensors, of_ints = both(group_norm, draw(3, 6, *space), gc)
        assert_close(of_tensors, of_ints, **EXACT)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("ghost_first", [False, True])
@pytest.mark.parametrize(("gc", "gm"), [(1, 1), (3, 2), (2, 3), (1, 6), (3, 4)])
def test_a_seq_norm_is_that_of_ints(space, options, ghost_first, gc, gm):
    of_tensors, of_ints = both(seq_norm, draw(12, 6, *space), gc, gm, ghost_first=ghost_first, **options)
    assert_close(of_tensors, of_ints, rtol=1e-10, atol=1e-10)  # pairs of channels have steep derivatives


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("ghost_first", [False, True])
def test_one_count_may_be_an_int(space, ghost_first):
    x = draw(12, 6, *space)
    expected = seq_norm(x, 2, 3, ghost_first=ghost_first)
    assert_close(seq_norm(x, count(2), 3, ghost_first=ghost_first), expected, **EXACT)
    assert_close(seq_norm(x, 2, count(3), ghost_first=ghost_first), expected, **EXACT)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("ghost_first", [False, True])
def test_no_groups_of_channels_leave_the_ghost_norm(space, options, ghost_first):
    x, upstream = draw(12, 6, *space).requires_grad_(), draw(12, 6, *space, seed=1)
    output = seq_norm(x, count(0), count(3), ghost_first=ghost_first, **options)
    expected = ghost_norm(x, 3, **options)
    assert_close(output, expected, **EXACT)
    assert_close(gradients(output, (x,), upstream), gradients(expected, (x,), upstream), **EXACT)
    if not ghost_first:
        assert_close(seq_norm(x, count(0), 3, **options), expected, **EXACT)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.uint8])
def test_every_integer_dtype_counts(dtype):
    x = draw(12, 6, 2)
    assert_close(seq_norm(x, count(3, dtype), count(2, dtype)), seq_norm(x, 3, 2), **EXACT)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("space", [(), (2, 2)])
def test_the_precision_of_the_input_is_kept(dtype, space):
    x = draw(12, 8, *space, dtype=dtype).requires_grad_()
    weight = torch.ones(8).requires_grad_()
    output = seq_norm(x, count(2), count(3), weight=weight)
    found = gradients(output, (x, weight), torch.ones_like(output))
    assert [tensor.dtype for tensor in (output, *found)] == [dtype, dtype, torch.float32]
    tolerance = {torch.float32: 1e-5, torch.float16: 1e-2, torch.bfloat16: 8e-2}[dtype]
    assert_close(output, seq_norm(x, 2, 3, weight=weight).to(dtype), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("layout", ["channels_last", "transposed", "skipping"])
def test_memory_layout_changes_nothing(layout):
    x = draw(12, 6, 2, 2)
    assert_close(seq_norm(laid_out(x, layout), count(3), count(2)), seq_norm(x, 3, 2), **EXACT)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("running", ["within", "pooled"])
@pytest.mark.parametrize("gm", [1, 2, 3, 6])
def test_running_statistics_are_those_of_an_int(space, options, running, gm):
    of_int = GhostNorm(4, gm=gm, running=running, **options).double()
    of_tensor = copy.deepcopy(of_int)
    for seed in range(2):
        of_int(draw(12, 4, *space, seed=seed))
        of_tensor(draw(12, 4, *space, seed=seed), gm=count(gm))
    assert_close(of_tensor.state_dict(), of_int.state_dict(), **EXACT)
    x = draw(5, 4, *space, seed=9)
    assert_close(of_tensor.eval()(x, gm=count(3)), of_int.eval()(x))


@pytest.mark.parametrize("space", [(), (2, 2)])
@pytest.mark.parametrize("running", ["within", "pooled"])
@pytest.mark.parametrize("ghost_first", [False, True])
def test_a_seq_norms_running_statistics_are_those_of_ints(space, running, ghost_first):
    of_ints = SeqNorm(6, gc=2, gm=3, running=running, ghost_first=ghost_first).double()
    of_tensors = copy.deepcopy(of_ints)
    for seed in range(2):
        of_ints(draw(12, 6, *space, seed=seed))
        of_tensors(draw(12, 6, *space, seed=seed), gc=count(2), gm=count(3))
    assert_close(of_tensors.state_dict(), of_ints.state_dict(), **EXACT)
    x = draw(5, 6, *space, seed=9)
    assert_close(of_tensors.eval()(x, gc=count(2)), of_ints.eval()(x), **EXACT)


def test_in_single_precision_they_agree_as_well_as_it_can():
    of_int, of_tensor = GhostNorm(4, gm=3), GhostNorm(4, gm=3)
    x = draw(12, 4, 5, 5).float()
    assert_close(of_tensor(x, gm=count(3)), of_int(x))
    assert_close(of_tensor.state_dict(), of_int.state_dict())


def test_a_noisy_layer_takes_a_tensor():
    x = draw(12, 4, 2)
    assert_close(NoisyBatchNorm(4, sigma=0).double()(x, gm=count(3)), ghost_norm(x, 3), **EXACT)


def test_second_derivatives_are_those_of_ints():
    def second(gc, gm):
        x = draw(6, 4, 2).requires_grad_()
        (first,) = torch.autograd.grad(seq_norm(x, gc, gm).pow(3).sum(), x, create_graph=True)
        return torch.autograd.grad(first.square().sum(), x)[0]

    assert_close(second(count(2), count(3)), second(2, 3), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("space", [(), (2, 2)])
@pytest.mark.parametrize("options", [{}, {"strided": True}, {"shared_var": True}, {"ghost_first": True}], ids=str)
def test_trials_stacked_by_vmap_are_a_loop_over_trials(space, options):
    x, gc, gm = draw(12, 6, *space), count([0, 1, 2, 3]), count([4, 1, 6, 2])
    together = vmap(lambda gc, gm: seq_norm(x, gc, gm, **options))(gc, gm)
    for i in range(4):
        assert_close(together[i], seq_norm(x, gc[i], gm[i], **options), **EXACT)
    assert_close(together[1:3], torch.stack([seq_norm(x, c, m, **options) for c, m in ((1, 1), (2, 6))]), **EXACT)


def test_trials_with_activations_and_weights_of_their_own_are_a_loop_too():
    x, weight, gc, gm = draw(3, 12, 6, 2), draw(3, 6), count([1, 2, 3]), count([6, 3, 2])
    together = vmap(lambda x, w, gc, gm: seq_norm(x, gc, gm, weight=w))(x, weight, gc, gm)
    alone = [seq_norm(x[i], int(gc[i]), int(gm[i]), weight=weight[i]) for i in range(3)]
    assert_close(together, torch.stack(alone), **EXACT)


@pytest.mark.parametrize("space", [(), (2, 2)])
def test_gradients_of_stacked_trials_are_those_of_a_loop(space):
    x, weights, gc, gm = draw(12, 6, *space), draw(3, 6, seed=1), count([1, 2, 3]), count([6, 3, 2])

    def loss(weight, x, gc, gm):
        return seq_norm(x, gc, gm, weight=weight).pow(3).sum()

    together = vmap(grad(loss, argnums=(0, 1)), in_dims=(0, None, 0, 0))(weights, x, gc, gm)
    alone = [grad(loss, argnums=(0, 1))(weights[i], x, int(gc[i]), int(gm[i])) for i in range(3)]
    for found, expected in zip(together, zip(*alone, strict=True), strict=True):
        assert_close(found, torch.stack(expected), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("space", [(), (2, 2)])
@pytest.mark.parametrize(
    "norm",
    [
        lambda x: ghost_norm(x, 3),
        lambda x: ghost_norm(x, 3, shared_var=True),
        lambda x: group_norm(x, 2),
        lambda x: seq_norm(x, 2, 3),
        lambda x: seq_norm(x, 2, 3, ghost_first=True),
        lambda x: seq_norm(x, count(2), count(3)),
    ],
    ids=["ghost", "shared", "group", "seq", "reversed", "tensors"],
)
def test_torch_func_differentiates_every_norm(norm, space):
    x, upstream = draw(6, 4, *space), draw(6, 4, *space, seed=1)
    found = grad(lambda x: (norm(x) * upstream).sum())(x)
    assert_close(found, gradients(norm(x.requires_grad_()), (x,), upstream)[0])


@pytest.mark.parametrize("space", [(), (2, 2)])
def test_norms_with_ints_are_vmapped_over_batches(space):
    x = draw(3, 6, 4, *space)
    for norm in (lambda x: ghost_norm(x, 3), lambda x: group_norm(x, 2), lambda x: seq_norm(x, 2, 3)):
        assert_close(vmap(norm)(x), torch.stack([norm(batch) for batch in x]))


@pytest.mark.parametrize("space", [(), (2, 2)])
def test_statistics_in_turn_need_an_int(space):
    message = "running='sequential' needs gm as an int: got a tensor. Use within or pooled."
    x = torch.zeros(6, 4, *space)
    assert refused(lambda: GhostNorm(4, gm=2, running="sequential")(x, gm=count(2))) == message
    assert refused(lambda: SeqNorm(4, gc=2, gm=2, running="sequential")(x, gm=count(2))) == message


@pytest.mark.parametrize("layer", [GhostNorm(4, gm=2), SeqNorm(4, gc=2, gm=2)], ids=str)
@pytest.mark.parametrize("space", [(), (2, 2)])
def test_in_evaluation_a_count_of_samples_has_no_influence(layer, space):
    x = draw(5, 4, *space).float()
    assert layer.eval()(x, gm=count(3)).equal(layer(x))
