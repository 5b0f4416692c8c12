"""GroupNorm, LayerNorm and InstanceNorm against the literal reference, torch's layers and their identities."""

import pytest
import torch
from hypothesis import given, settings
from torch import nn
from torch.testing import assert_close

from seqnorm import GroupNorm, InstanceNorm, LayerNorm, group_norm
from tests.seqnorm import reference
from tests.seqnorm.shapes import Case, cases, draw, gradients, laid_out, refused

TOLERANCE = {torch.float32: 2e-5, torch.float16: 5e-3, torch.bfloat16: 4e-2}


@settings(max_examples=100, deadline=None, derandomize=True)
@given(case=cases())
def test_values_and_gradients_equal_the_reference(case: Case):
    x, (weight, bias) = case.input(), case.weight_and_bias()
    with case.ways():
        fast = group_norm(x, case.gc, weight=weight, bias=bias)
        found = gradients(fast, (x, weight, bias), case.upstream())
    literal = reference.group_norm(x, case.gc, weight, bias)
    assert_close(fast, literal)
    assert_close(found, gradients(literal, (x, weight, bias), case.upstream()))


@pytest.mark.parametrize(("shape", "gc"), [((3, 4), 2), ((3, 4, 2), 2), ((3, 4, 2), 4), ((3, 4, 2, 1), 1)])
def test_first_and_second_derivatives_equal_finite_differences(shape, gc):
    def norm(x, w, b):
        return group_norm(x, gc, weight=w, bias=b, eps=0.1)

    tensors = draw(*shape).requires_grad_(), draw(4).requires_grad_(), draw(4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(norm, tensors)
    assert torch.autograd.gradgradcheck(norm, tensors)


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 3)])
@pytest.mark.parametrize("wanted", [[0], [1], [2], [0, 1], [1, 2], [0, 2]])
def test_gradients_of_some_inputs_are_those_of_all(shape, wanted):
    def norm(tensors):
        return group_norm(tensors[0], 2, weight=tensors[1], bias=tensors[2])

    upstream = draw(*shape, seed=3)
    every = [draw(*shape).requires_grad_(), draw(4, seed=1).requires_grad_(), draw(4, seed=2).requires_grad_()]
    some = [tensor.detach().requires_grad_(i in wanted) for i, tensor in enumerate(every)]
    norm(every).backward(upstream)
    norm(some).backward(upstream)
    assert_close([some[i].grad for i in wanted], [every[i].grad for i in wanted])
    assert [i for i in range(3) if some[i].grad is not None] == wanted


@pytest.mark.parametrize("shape", [(6, 8), (6, 8, 1, 1), (6, 8, 3, 3)])
@pytest.mark.parametrize("weights", ["alike", torch.float32])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_every_precision_is_kept_and_stays_close_to_the_reference(dtype, weights, shape):
    of_weights = dtype if weights == "alike" else weights
    x = draw(*shape, dtype=dtype).requires_grad_()
    weight, bias = (draw(8, seed=i, dtype=of_weights).requires_grad_() for i in (1, 2))
    output, upstream = group_norm(x, 2, weight=weight, bias=bias), draw(*shape, seed=3, dtype=dtype)
    assert output.dtype == dtype
    found = gradients(output, (x, weight, bias), upstream)
    assert [tensor.dtype for tensor in found] == [dtype, of_weights, of_weights]
    literal = reference.group_norm(x, 2, weight, bias)
    expected = gradients(literal, (x, weight, bias), upstream.double())
    tolerance = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype], "check_dtype": False}
    assert_close(output, literal, **tolerance)
    assert_close(found, expected, **tolerance)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("shape", [(8, 4), (8, 4, 3), (8, 4, 3, 2), (8, 4, 2, 3, 2)])
def test_output_and_gradient_lie_in_memory_as_the_input(shape, layout):
    x = laid_out(draw(*shape), layout).requires_grad_()
    output = group_norm(x, 2)
    output.sum().backward()
    assert output.stride() == x.stride()
    assert x.grad.stride() == x.stride()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (GroupNorm(6, gc=3), nn.GroupNorm(3, 6)),
        (GroupNorm(6, gc=2, eps=0.3), nn.GroupNorm(2, 6, eps=0.3)),
        (LayerNorm(6), nn.GroupNorm(1, 6)),
        (LayerNorm(6), nn.LayerNorm([6, 2, 5], elementwise_affine=False)),
        (InstanceNorm(6), nn.GroupNorm(6, 6)),
        (InstanceNorm(6), nn.InstanceNorm2d(6, affine=True)),
    ],
    ids=str,
)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("training", [True, False])
def test_it_is_torchs_layer(ours, theirs, layout, training):
    ours, theirs = ours.double().train(training), theirs.double().train(training)
    if state := theirs.state_dict():
        ours.load_state_dict({name: draw(6, seed=i) for i, name in enumerate(state)})  # the same names and shapes
        theirs.load_state_dict(ours.state_dict())
    x = laid_out(draw(4, 6, 2, 5), layout).requires_grad_()
    output, expected, upstream = ours(x), theirs(x), draw(4, 6, 2, 5, seed=1)
    assert_close(output, expected)
    assert_close(
        gradients(output, (x, *(ours.parameters() if state else ())), upstream),
        gradients(expected, (x, *theirs.parameters()), upstream),
    )


def test_of_a_fully_connected_layer_it_is_torchs_layer():
    x, ours, theirs = draw(5, 6), GroupNorm(6, gc=2).double(), nn.GroupNorm(2, 6).double()
    ours.load_state_dict({"weight": draw(6), "bias": draw(6, seed=1)})
    theirs.load_state_dict(ours.state_dict())
    assert_close(ours(x), theirs(x))
    assert_close(LayerNorm(6).double()(x), nn.LayerNorm(6).double()(x))


@pytest.mark.parametrize(("shape", "gc"), [((3, 8), 2), ((3, 8, 2, 2), 1), ((3, 8, 2, 2), 4), ((3, 8, 5), 8)])
def test_without_eps_each_group_has_mean_0_and_variance_1(shape, gc):
    groups = group_norm(draw(*shape), gc, eps=0).reshape(3, gc, -1)
    assert_close(groups.mean(dim=2), torch.zeros(3, gc).double())
    assert_close(groups.var(dim=2, correction=0), torch.ones(3, gc).double())


@pytest.mark.parametrize("space", [(), (3,)])
def test_shifting_and_rescaling_a_group_changes_nothing(space):
    x = draw(2, 6, *space)
    moved = x.clone()
    moved[1, 3:] = moved[1, 3:] * 5 - 70  # one sample, its second group of channels
    assert_close(group_norm(moved, 2, eps=0), group_norm(x, 2, eps=0))


@pytest.mark.parametrize("space", [(), (3,)])
def test_groups_are_runs_of_consecutive_channels_of_one_sample(space):
    x = draw(2, 6, *space)
    changed = x.clone()
    changed[1, 3] += 10  # the first of the second group
    difference = (group_norm(changed, 2) - group_norm(x, 2)).abs().reshape(2, 6, -1).amax(2)
    assert difference[0].eq(0).all()
    assert difference[1, :3].eq(0).all()
    assert difference[1, 3:].gt(0).all()


@pytest.mark.parametrize("layer", [GroupNorm(6, gc=2), LayerNorm(6), InstanceNorm(6)], ids=str)
@pytest.mark.parametrize("space", [(2,), (2, 2)])
def test_a_batch_of_nothing_gives_nothing_as_in_torch(layer, space):
    assert layer(torch.zeros(0, 6, *space)).shape == (0, 6, *space)


def test_a_batch_of_nothing_gives_nothing_in_a_fully_connected_layer():
    assert GroupNorm(6, gc=2)(torch.zeros(0, 6)).shape == (0, 6)


def test_there_are_no_buffers():
    assert list(GroupNorm(6, gc=2).state_dict()) == ["weight", "bias"]
    assert list(InstanceNorm(6, affine=False).state_dict()) == []


def test_layers_show_their_numbers():
    assert repr(GroupNorm(64, gc=4)) == "GroupNorm(64, gc=4)"
    assert repr(LayerNorm(64)) == "LayerNorm(64, gc=1)"
    assert repr(InstanceNorm(64)) == "InstanceNorm(64, gc=64)"


@pytest.mark.parametrize("gc", [4, 0, -1, 12])
def test_groups_that_do_not_divide_the_channels_are_refused(gc):
    message = (
        f"gc must divide the channels: got gc={gc} for 6 channels. "
        "Choose a divisor, or use GhostNorm for no GroupNorm half."
    )
    assert refused(lambda: GroupNorm(6, gc=gc)) == message
    assert refused(lambda: group_norm(torch.zeros(4, 6), gc)) == message
    assert refused(lambda: group_norm(torch.zeros(4, 6, 2), gc)) == message


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1, 1)])
def test_groups_of_one_channel_are_refused_where_it_has_one_value(shape):
    assert refused(lambda: InstanceNorm(6)(torch.zeros(shape))) == (
        f"a group of channels needs at least 2 values: got gc=6 for input {shape}. "
        "Choose a smaller gc, or normalize an input with more than one position in space."
    )


def test_a_layer_without_channels_is_refused():
    assert refused(lambda: InstanceNorm(0)) == (
        "num_channels must be at least 1: got 0. Pass the width of the layer before."
    )


@pytest.mark.parametrize(
    ("input", "received"),
    [
        (torch.zeros(4, 5), "(4, 5) of torch.float32"),
        (torch.zeros(3), "(3,) of torch.float32"),
        (torch.zeros(4, 6, dtype=torch.long), "(4, 6) of torch.int64"),
    ],
    ids=["width", "dimensions", "dtype"],
)
def test_an_input_of_another_width_or_kind_is_refused(input, received):
    assert refused(lambda: GroupNorm(6, gc=2)(input)) == (
        f"input must be a floating tensor (M, 6, *spatial): got {received}. "
        "Set num_channels to the width of the layer before."
    )


@pytest.mark.parametrize(
    ("input", "received"),
    [(torch.zeros(6), "(6,) of torch.float32"), (torch.zeros(4, 6, 2, dtype=torch.int32), "(4, 6, 2) of torch.int32")],
    ids=["dimensions", "integers"],
)
def test_a_function_refuses_another_kind(input, received):
    assert refused(lambda: group_norm(input, 2)) == (
        f"input must be a floating tensor (M, C, *spatial): got {received}. "
        "Convert it with .float(), or add the missing dimension."
    )


@pytest.mark.parametrize("shape", [(4, 0), (4, 0, 2), (4, 6, 0)])
def test_a_function_refuses_an_input_without_channels_or_positions(shape):
    assert refused(lambda: group_norm(torch.zeros(shape), 2)) == (
        f"input must have channels and positions: got {shape}. Check the layer before this one."
    )
