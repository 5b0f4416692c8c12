"""SeqNorm, in both orders, against the literal reference, its two halves and its identities."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from seqnorm import SeqNorm, ghost_norm, group_norm, rows, seq_norm
from tests.seqnorm import reference
from tests.seqnorm.shapes import Case, cases, draw, gradients, laid_out, refused

TOLERANCE = {torch.float32: 5e-5, torch.float16: 1e-2, torch.bfloat16: 8e-2}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(case=cases(), ghost_first=st.booleans())
def test_values_and_gradients_equal_the_reference(case: Case, ghost_first: bool):
    x, (weight, bias) = case.input(), case.weight_and_bias()
    options = {"ghost_first": ghost_first, **case.ghost_options()}
    with case.ways():
        fast = seq_norm(x, case.gc, case.gm, weight=weight, bias=bias, **options)
        found = gradients(fast, (x, weight, bias), case.upstream())
    literal = reference.seq_norm(x, case.gc, case.gm, weight, bias, **options)
    assert_close(fast, literal)
    assert_close(found, gradients(literal, (x, weight, bias), case.upstream()))


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 2), (4, 6, 1, 2)])
@pytest.mark.parametrize("options", [{}, {"ghost_first": True}, {"shared_var": True}, {"strided": True}], ids=str)
def test_first_and_second_derivatives_in_training_equal_finite_differences(shape, options):
    def norm(x, w, b):
        return seq_norm(x, 2, 2, weight=w, bias=b, eps=0.1, **options)  # gentle, as 2 samples have steep derivatives

    tensors = draw(*shape).requires_grad_(), draw(6).requires_grad_(), draw(6, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(norm, tensors)
    assert torch.autograd.gradgradcheck(norm, tensors)


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 2)])
@pytest.mark.parametrize("ghost_first", [False, True])
def test_first_and_second_derivatives_in_evaluation_equal_finite_differences(shape, ghost_first):
    layer = SeqNorm(4, gc=2, gm=2, ghost_first=ghost_first, eps=0.1).double()
    layer(draw(6, *shape[1:]))
    layer.eval()

    def norm(x, w, b):
        return torch.func.functional_call(layer, {"weight": w, "bias": b}, (x,))

    tensors = draw(*shape).requires_grad_(), draw(4).requires_grad_(), draw(4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(norm, tensors)
    assert torch.autograd.gradgradcheck(norm, tensors)


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 3)])
@pytest.mark.parametrize("wanted", [[0], [1], [2], [0, 1], [1, 2], [0, 2]])
@pytest.mark.parametrize("ghost_first", [False, True])
def test_gradients_of_some_inputs_are_those_of_all(shape, wanted, ghost_first):
    def norm(tensors):
        return seq_norm(tensors[0], 2, 3, weight=tensors[1], bias=tensors[2], ghost_first=ghost_first)

    upstream = draw(*shape, seed=3)
    every = [draw(*shape).requires_grad_(), draw(4, seed=1).requires_grad_(), draw(4, seed=2).requires_grad_()]
    some = [tensor.detach().requires_grad_(i in wanted) for i, tensor in enumerate(every)]
    norm(every).backward(upstream)
    norm(some).backward(upstream)
    assert_close([some[i].grad for i in wanted], [every[i].grad for i in wanted])
    assert [i for i in range(3) if some[i].grad is not None] == wanted


@pytest.mark.parametrize("shape", [(16, 8), (16, 8, 1, 1), (16, 8, 3, 3)])
@pytest.mark.parametrize("weights", ["alike", torch.float32])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("ghost_first", [False, True])
def test_every_precision_is_kept_and_stays_close_to_the_reference(ghost_first, dtype, weights, shape):
    of_weights = dtype if weights == "alike" else weights
    x = draw(*shape, dtype=dtype).requires_grad_()
    weight, bias = (draw(8, seed=i, dtype=of_weights).requires_grad_() for i in (1, 2))
    output = seq_norm(x, 2, 2, weight=weight, bias=bias, ghost_first=ghost_first)
    upstream = draw(*shape, seed=3, dtype=dtype)
    found = gradients(output, (x, weight, bias), upstream)
    assert [tensor.dtype for tensor in (output, *found)] == [dtype, dtype, of_weights, of_weights]
    literal = reference.seq_norm(x, 2, 2, weight, bias, ghost_first=ghost_first)
    expected = gradients(literal, (x, weight, bias), upstream.double())
    tolerance = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype], "check_dtype": False}
    assert_close(output, literal, **tolerance)
    assert_close(found, expected, **tolerance)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("shape", [(8, 4), (8, 4, 3), (8, 4, 3, 2), (8, 4, 2, 3, 2)])
@pytest.mark.parametrize("training", [True, False])
def test_output_and_gradient_lie_in_memory_as_the_input(shape, layout, training):
    x = laid_out(draw(*shape), layout).requires_grad_()
    output = SeqNorm(4, gc=2, gm=2).double().train(training)(x)
    output.sum().backward()
    assert output.stride() == x.stride()
    assert x.grad.stride() == x.stride()


@pytest.mark.parametrize("samples_in_a_block", [1, 3, 5])
def test_the_size_of_a_block_changes_nothing(monkeypatch, samples_in_a_block):
    x, upstream = draw(8, 4, 2, 2).requires_grad_(), draw(8, 4, 2, 2, seed=1)
    whole = seq_norm(x, 2, 2)
    expected = gradients(whole, (x,), upstream)
    monkeypatch.setattr(rows, "BLOCK_SIZE", samples_in_a_block * 16)
    output = seq_norm(x, 2, 2)
    assert_close(output, whole)
    assert_close(gradients(output, (x,), upstream), expected)


@pytest.mark.parametrize(("gc", "gm"), [(1, 1), (2, 1), (1, 4), (2, 4), (4, 2)])
def test_it_is_group_norm_without_affine_then_ghost_norm(gc, gm):
    x = draw(8, 4, 3, 3)
    assert_close(seq_norm(x, gc, gm), ghost_norm(F.group_norm(x, gc), gm))
    assert_close(seq_norm(x, gc, gm), ghost_norm(group_norm(x, gc), gm))


@pytest.mark.parametrize(("gc", "gm"), [(1, 1), (2, 1), (1, 4), (2, 4)])
def test_of_a_fully_connected_layer_it_is_the_same(gc, gm):
    x = draw(8, 4)
    assert_close(seq_norm(x, gc, gm), ghost_norm(F.group_norm(x, gc), gm))
    assert_close(seq_norm(x, gc, gm), seq_norm(x[:, :, None, None], gc, gm)[:, :, 0, 0])


def test_the_order_of_the_halves_matters():
    x = draw(4, 4)
    assert not torch.allclose(seq_norm(x, 2, 2), reference.group_norm(reference.ghost_norm(x, 2), 2))


def test_a_group_per_channel_is_instance_norm_then_ghost_norm():
    x = draw(4, 3, 2, 2)
    assert_close(seq_norm(x, 3, 2), ghost_norm(F.instance_norm(x), 2))


def test_one_group_of_samples_is_group_norm_then_batch_norm_over_several_steps_and_in_evaluation():
    theirs = nn.Sequential(nn.GroupNorm(2, 4, affine=False), nn.BatchNorm2d(4))
    ours = SeqNorm(4, gc=2, gm=1)
    for step in range(3):
        x = draw(4, 4, 2, 2, seed=step, dtype=torch.float32)
        assert_close(ours(x), theirs(x))
        assert_close(ours.state_dict(), theirs[1].state_dict())
    x = draw(3, 4, 2, 2, seed=9, dtype=torch.float32)
    assert_close(ours.eval()(x), theirs.eval()(x))


def test_without_eps_each_group_of_samples_has_mean_0_and_variance_1():
    groups = seq_norm(draw(12, 4, 2, 2), 2, 3, eps=0).reshape(3, 4, 4, 4)  # group, sample, channel, position
    assert_close(groups.mean(dim=(1, 3)), torch.zeros(3, 4).double())
    assert_close(groups.var(dim=(1, 3), correction=0), torch.ones(3, 4).double())


@pytest.mark.parametrize("space", [(), (3,)])
def test_shifting_and_rescaling_a_samples_group_of_channels_changes_nothing(space):
    x = draw(4, 6, *space)
    moved = x.clone()
    moved[1, 3:] = moved[1, 3:] * 5 - 70  # one sample, its second group of channels
    assert_close(seq_norm(moved, 2, 2, eps=0), seq_norm(x, 2, 2, eps=0))


def test_one_weight_and_one_bias_per_channel_are_learned():
    assert {name: tuple(p.shape) for name, p in SeqNorm(6, gc=2, gm=2).named_parameters()} == {
        "weight": (6,),
        "bias": (6,),
    }


@pytest.mark.parametrize("space", [(), (2, 2)])
def test_evaluation_takes_any_batch_size_and_treats_each_sample_alone(space):
    layer = SeqNorm(4, gc=2, gm=4).double()
    layer(draw(8, 4, *space))
    x = draw(7, 4, *space, seed=1)
    one_by_one = torch.cat([layer.eval()(x[i : i + 1]) for i in range(7)])
    assert_close(layer(x), one_by_one)


@pytest.mark.parametrize("space", [(), (2, 2)])
@pytest.mark.parametrize("ghost_first", [False, True])
def test_evaluation_takes_a_batch_of_nothing_as_torch_does(space, ghost_first):
    layer = SeqNorm(4, gc=2, gm=2, ghost_first=ghost_first).eval()
    assert layer(torch.zeros(0, 4, *space)).shape == (0, 4, *space)


@pytest.mark.parametrize("space", [(), (2, 2)])
def test_evaluation_treats_samples_of_other_precisions(space):
    layer = SeqNorm(4, gc=2, gm=2)
    layer(draw(8, 4, *space, dtype=torch.float32))
    x = draw(4, 4, *space, seed=1, dtype=torch.bfloat16)
    output = layer.eval()(x)
    assert output.dtype == torch.bfloat16
    assert_close(output.float(), layer(x.float()), rtol=3e-2, atol=3e-2)


def test_without_running_statistics_evaluation_uses_its_whole_input():
    layer = SeqNorm(4, gc=2, gm=2, track_running_stats=False).double()
    x = draw(5, 4)  # which 2 groups of samples would not divide
    assert_close(layer.eval()(x), reference.seq_norm(x, 2, 1))


@pytest.mark.parametrize("space", [(), (3,)])
def test_eps_is_inside_both_roots(space):
    x = draw(4, 4, *space)
    assert_close(SeqNorm(4, gc=2, gm=2, eps=0.7).double()(x), reference.seq_norm(x, 2, 2, ε=0.7))


def test_options_reach_the_arithmetic():
    x, options = draw(6, 4, 3), {"strided": True, "shared_var": True, "ghost_first": True}
    assert_close(SeqNorm(4, gc=2, gm=3, **options).double()(x), reference.seq_norm(x, 2, 3, **options))


def test_a_call_may_bring_its_own_numbers_of_groups():
    layer, x = SeqNorm(4, gc=2, gm=2).double(), draw(6, 4, 3)
    assert_close(layer(x, gc=4, gm=3), reference.seq_norm(x, 4, 3))
    assert_close(layer(x), reference.seq_norm(x, 2, 2))
    assert_close(layer.eval()(x, gc=4, gm=5), layer(x, gc=4))


def test_a_layer_shows_its_numbers():
    assert repr(SeqNorm(64, gc=4, gm=8)) == "SeqNorm(64, gc=4, gm=8)"
    assert repr(SeqNorm(64, gc=4, gm=8, ghost_first=True)) == "SeqNorm(64, gc=4, gm=8, ghost_first=True)"


@pytest.mark.parametrize("gc", [4, 0, -1, 12])
def test_groups_that_do_not_divide_the_channels_are_refused(gc):
    message = (
        f"gc must divide the channels: got gc={gc} for 6 channels. "
        "Choose a divisor, or use GhostNorm for no GroupNorm half."
    )
    assert refused(lambda: SeqNorm(6, gc=gc, gm=2)) == message
    assert refused(lambda: seq_norm(torch.zeros(4, 6), gc, 2)) == message
    assert refused(lambda: SeqNorm(6, gc=2, gm=2)(torch.zeros(4, 6, 2), gc=gc)) == message


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1, 1)])
@pytest.mark.parametrize("ghost_first", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_groups_of_one_channel_are_refused_where_it_has_one_value(shape, ghost_first, training):
    layer = SeqNorm(6, gc=6, gm=2, ghost_first=ghost_first).train(training)
    assert refused(lambda: layer(torch.zeros(shape))) == (
        f"a group of channels needs at least 2 values: got gc=6 for input {shape}. "
        "Choose a smaller gc, or normalize an input with more than one position in space."
    )


@pytest.mark.parametrize("space", [(), (2, 2)])
@pytest.mark.parametrize("ghost_first", [False, True])
def test_groups_that_do_not_divide_the_batch_are_refused(space, ghost_first):
    assert refused(lambda: SeqNorm(6, gc=2, gm=3, ghost_first=ghost_first)(torch.zeros(8, 6, *space))) == (
        "gm must divide the batch: got gm=3 for 8 samples. Drop the last incomplete batch (drop_last=True), "
        "choose a divisor, or allow such batches with uneven='unequal' or uneven='single'."
    )


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1, 1)])
def test_groups_of_one_sample_are_refused(shape):
    assert refused(lambda: SeqNorm(6, gc=2, gm=4)(torch.zeros(shape))) == (
        "a group needs at least 2 values per channel: got 1 sample × 1 position "
        "with gm=4 for 4 samples. Choose a smaller gm."
    )


@pytest.mark.parametrize("space", [(), (2, 2)])
@pytest.mark.parametrize("ghost_first", [False, True])
def test_evaluation_without_statistics_is_refused(space, ghost_first):
    x = torch.zeros(4, 4, *space)
    assert refused(lambda: seq_norm(x, 2, 2, training=False, ghost_first=ghost_first)) == (
        "GhostNorm evaluates with running statistics: got none. "
        "Pass running_mean and running_var, or call with training=True."
    )


def test_a_layer_without_groups_of_samples_is_refused():
    assert (
        refused(lambda: SeqNorm(6, gc=2, gm=0)) == "gm must be at least 1: got 0. Use 1 for one group, the whole batch."
    )


def test_an_input_of_another_width_is_refused():
    assert refused(lambda: SeqNorm(6, gc=2, gm=2)(torch.zeros(4, 5))) == (
        "input must be a floating tensor (M, 6, *spatial): got (4, 5) of torch.float32. "
        "Set num_channels to the width of the layer before."
    )


@pytest.mark.parametrize(
    ("input", "received"),
    [(torch.zeros(6), "(6,) of torch.float32"), (torch.zeros(4, 6, 2, dtype=torch.int32), "(4, 6, 2) of torch.int32")],
    ids=["dimensions", "integers"],
)
def test_a_function_refuses_another_kind(input, received):
    assert refused(lambda: seq_norm(input, 2, 2)) == (
        f"input must be a floating tensor (M, C, *spatial): got {received}. "
        "Convert it with .float(), or add the missing dimension."
    )


@pytest.mark.parametrize("shape", [(4, 0), (4, 0, 2), (4, 6, 0)])
def test_a_function_refuses_an_input_without_channels_or_positions(shape):
    assert refused(lambda: seq_norm(torch.zeros(shape), 2, 2)) == (
        f"input must have channels and positions: got {shape}. Check the layer before this one."
    )
