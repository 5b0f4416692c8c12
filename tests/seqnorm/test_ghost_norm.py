"""GhostNorm against the literal reference, the paper's worked example, torch's BatchNorm and its identities."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch.testing import assert_close

from seqnorm import GhostNorm, functional, ghost_norm, rows
from tests.seqnorm import reference
from tests.seqnorm.shapes import Case, cases, draw, gradients, laid_out, refused

SAMPLES = torch.tensor([35.0, 39, 30, 4, 38, 26, 27, 19]).reshape(8, 1, 1)  # paper section 2.3
BATCH_NORM_PRINTED = ["0.7", "1.1", "0.3", "-2.2", "1.0", "-0.1", "-0.02", "-0.8"]
GHOST_NORM_PRINTED = ["0.6", "0.9", "0.2", "-1.7", "1.5", "-0.2", "-0.07", "-1.2"]
TOLERANCE = {torch.float32: 2e-5, torch.float16: 5e-3, torch.bfloat16: 4e-2}


def printed_like(values, printed):
    """Write each value with as many decimals as the paper prints."""
    return [f"{value:.{len(text.partition('.')[2])}f}" for value, text in zip(values.flatten(), printed, strict=True)]


def in_chunks(x, gm, weight=None, bias=None):
    """Normalize groups of consecutive samples by torch's BatchNorm."""
    return torch.cat([F.batch_norm(chunk, None, None, weight, bias, training=True) for chunk in x.chunk(gm)])


@settings(max_examples=120, deadline=None, derandomize=True)
@given(case=cases())
def test_values_and_gradients_equal_the_reference(case: Case):
    x, (weight, bias) = case.input(), case.weight_and_bias()
    with case.ways():
        fast = ghost_norm(x, case.gm, weight=weight, bias=bias, **case.ghost_options())
        found = gradients(fast, (x, weight, bias), case.upstream())
    literal = reference.ghost_norm(x, case.gm, weight, bias, **case.ghost_options())
    assert_close(fast, literal)
    assert_close(found, gradients(literal, (x, weight, bias), case.upstream()))


@pytest.mark.parametrize("shape", [(6, 2), (6, 2, 3), (6, 2, 2, 1)])
@pytest.mark.parametrize("options", [{}, {"strided": True}, {"shared_var": True}], ids=str)
def test_first_and_second_derivatives_in_training_equal_finite_differences(shape, options):
    def norm(x, w, b):
        return ghost_norm(x, 2, weight=w, bias=b, **options)

    tensors = draw(*shape).requires_grad_(), draw(2).requires_grad_(), draw(2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(norm, tensors)
    assert torch.autograd.gradgradcheck(norm, tensors)


def test_derivatives_in_evaluation_equal_finite_differences():
    statistics = {"running_mean": draw(2), "running_var": draw(2, seed=1).square() + 0.1}

    def norm(x, w, b):
        return ghost_norm(x, 1, weight=w, bias=b, training=False, **statistics)

    tensors = draw(3, 2, 2).requires_grad_(), draw(2).requires_grad_(), draw(2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(norm, tensors)
    assert torch.autograd.gradgradcheck(norm, tensors)


@pytest.mark.parametrize("shape", [(6, 2), (6, 2, 3)])
@pytest.mark.parametrize("wanted", [[0], [1], [2], [0, 1], [1, 2], [0, 2]])
def test_gradients_of_some_inputs_are_those_of_all(shape, wanted):
    def norm(tensors):
        return ghost_norm(tensors[0], 3, weight=tensors[1], bias=tensors[2])

    upstream = draw(*shape, seed=3)
    every = [draw(*shape).requires_grad_(), draw(2, seed=1).requires_grad_(), draw(2, seed=2).requires_grad_()]
    some = [tensor.detach().requires_grad_(i in wanted) for i, tensor in enumerate(every)]
    norm(every).backward(upstream)
    norm(some).backward(upstream)
    assert_close([some[i].grad for i in wanted], [every[i].grad for i in wanted])
    assert [i for i in range(3) if some[i].grad is not None] == wanted


@pytest.mark.parametrize("shape", [(16, 4), (16, 4, 1, 1), (16, 4, 3, 3)])
@pytest.mark.parametrize("weights", ["alike", torch.float32])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("gm", [1, 2])
def test_every_precision_is_kept_and_stays_close_to_the_reference(gm, dtype, weights, shape):
    of_weights = dtype if weights == "alike" else weights
    x = draw(*shape, dtype=dtype).requires_grad_()
    weight, bias = (draw(4, seed=i, dtype=of_weights).requires_grad_() for i in (1, 2))
    output, upstream = ghost_norm(x, gm, weight=weight, bias=bias), draw(*shape, seed=3, dtype=dtype)
    found = gradients(output, (x, weight, bias), upstream)
    assert [tensor.dtype for tensor in (output, *found)] == [dtype, dtype, of_weights, of_weights]
    literal = reference.ghost_norm(x, gm, weight, bias)
    expected = gradients(literal, (x, weight, bias), upstream.double())
    tolerance = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype], "check_dtype": False}
    assert_close(output, literal, **tolerance)
    assert_close(found, expected, **tolerance)


@pytest.mark.parametrize("gm", [1, 2, 4])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("shape", [(8, 3), (8, 3, 4), (8, 3, 4, 2), (8, 3, 2, 4, 2)])
def test_output_and_gradient_lie_in_memory_as_the_input(shape, layout, gm):
    x = laid_out(draw(*shape), layout).requires_grad_()
    output = ghost_norm(x, gm)
    output.sum().backward()
    assert output.stride() == x.stride()
    assert x.grad.stride() == x.stride()


@pytest.mark.parametrize("layout", ["channels_last", "transposed", "sliced"])
@pytest.mark.parametrize("gm", [1, 3])
def test_memory_layout_changes_nothing(gm, layout):
    x = draw(6, 4, 3, 2)
    assert_close(ghost_norm(laid_out(x, layout), gm), ghost_norm(x, gm))


@pytest.mark.parametrize("shape", [(6, 2), (6, 2, 3, 3)])
def test_the_gradient_of_a_sum_and_of_a_mean_are_zero(shape):
    x = draw(*shape).requires_grad_()
    (ghost_norm(x, 2).sum() + ghost_norm(x, 2).mean()).backward()
    assert_close(x.grad, torch.zeros_like(x), atol=1e-12, rtol=0)


def test_gradients_add_up_over_calls():
    x, upstream = draw(6, 2, 3).requires_grad_(), draw(6, 2, 3, seed=1)
    for _ in range(2):
        ghost_norm(x, 2).backward(upstream)
    assert_close(x.grad, 2 * gradients(ghost_norm(x, 2), (x,), upstream)[0])


@pytest.mark.parametrize("samples_in_a_block", [1, 2, 3, 5])
def test_the_size_of_a_block_changes_nothing(monkeypatch, samples_in_a_block):
    x, upstream = draw(8, 3, 2, 2).requires_grad_(), draw(8, 3, 2, 2, seed=1)
    whole = ghost_norm(x, 2)
    expected = gradients(whole, (x,), upstream)
    monkeypatch.setattr(rows, "BLOCK_SIZE", samples_in_a_block * 12)
    output = ghost_norm(x, 2)
    assert_close(output, whole)
    assert_close(gradients(output, (x,), upstream), expected)


@pytest.mark.parametrize("loop_from", [0, 2**60])
@pytest.mark.parametrize("shape", [(12, 3), (12, 3, 1, 1)])
def test_both_ways_through_a_fully_connected_layer_are_a_loop_of_batch_norms(monkeypatch, shape, loop_from):
    monkeypatch.setattr(functional, "MIN_LOOP_GROUP_SIZE", loop_from)
    x, weight, bias = draw(*shape).requires_grad_(), draw(3).requires_grad_(), draw(3, seed=1).requires_grad_()
    output, expected = ghost_norm(x, 4, weight=weight, bias=bias), in_chunks(x, 4, weight, bias)
    assert_close(output, expected)
    upstream = draw(*shape, seed=2)
    assert_close(gradients(output, (x, weight, bias), upstream), gradients(expected, (x, weight, bias), upstream))


def test_one_group_gives_the_batch_norm_of_the_papers_example():
    assert printed_like(ghost_norm(SAMPLES, 1), BATCH_NORM_PRINTED) == BATCH_NORM_PRINTED


def test_two_groups_give_the_ghost_norm_of_the_papers_example():
    assert printed_like(ghost_norm(SAMPLES, 2), GHOST_NORM_PRINTED) == GHOST_NORM_PRINTED


def test_one_group_keeps_the_ranking_of_the_samples():
    assert ghost_norm(SAMPLES, 1).flatten().argsort().equal(SAMPLES.flatten().argsort())


def test_two_groups_keep_the_ranking_within_a_group_but_not_between_groups():
    x, output = SAMPLES.flatten(), ghost_norm(SAMPLES, 2).flatten()
    assert output[:4].argsort().equal(x[:4].argsort())
    assert output[4:].argsort().equal(x[4:].argsort())
    assert x[1] > x[4]  # 39 > 38
    assert output[1] < output[4]  # 0.9 < 1.5


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("shape", [(8, 3), (8, 3, 5), (8, 3, 2, 3), (8, 3, 2, 1, 3)])
@pytest.mark.parametrize("gm", [1, 2, 4])
def test_it_is_torchs_batch_norm_over_chunks(gm, shape, layout):
    layer = GhostNorm(3, gm=gm).double()
    torch.nn.init.normal_(layer.weight)
    x = laid_out(draw(*shape), layout).requires_grad_()
    output, expected = layer(x), in_chunks(x, gm, layer.weight, layer.bias)
    assert_close(output, expected)
    every, upstream = (x, layer.weight, layer.bias), draw(*shape, seed=1)
    assert_close(gradients(output, every, upstream), gradients(expected, every, upstream))


@pytest.mark.parametrize("gm", [1, 4])
def test_without_eps_each_group_has_mean_0_and_variance_1(gm):
    groups = ghost_norm(draw(12, 3, 2, 2), gm, eps=0).reshape(gm, 12 // gm, 3, 4)  # group, sample, channel, position
    assert_close(groups.mean(dim=(1, 3)), torch.zeros(gm, 3).double())
    assert_close(groups.var(dim=(1, 3), correction=0), torch.ones(gm, 3).double())


@pytest.mark.parametrize("space", [(), (3,)])
def test_shifting_and_rescaling_the_channels_of_a_group_changes_nothing(space):
    x = draw(6, 2, *space)
    moved = x.clone()
    column = [2, *[1] * len(space)]
    moved[:3] = moved[:3] * torch.tensor([5.0, 0.2]).view(column) + torch.tensor([-7.0, 100.0]).view(column)
    assert_close(ghost_norm(moved, 2, eps=0), ghost_norm(x, 2, eps=0))


@pytest.mark.parametrize("space", [(), (2, 2)])
def test_groups_are_runs_of_consecutive_samples(space):
    x = draw(6, 2, *space)
    changed = x.clone()
    changed[3] += 10  # the first of the second group
    difference = (ghost_norm(changed, 2) - ghost_norm(x, 2)).flatten(1).abs().amax(dim=1)
    assert difference[:3].eq(0).all()
    assert difference[3:].gt(0).all()


@pytest.mark.parametrize("space", [(), (2, 2)])
def test_the_input_is_left_as_it_was(space):
    x = draw(4, 2, *space)
    before = x.clone()
    ghost_norm(x, 2)
    assert x.equal(before)


def test_a_constant_channel_becomes_its_bias_with_finite_gradients():
    x = torch.full((4, 1), 3.0).requires_grad_()
    output = ghost_norm(x, 2, bias=torch.tensor([0.5]))
    output.sum().backward()
    assert output.equal(torch.full((4, 1), 0.5))
    assert x.grad.isfinite().all()


def test_without_affine_there_is_nothing_to_learn():
    layer = GhostNorm(2, gm=2, affine=False).double()
    assert list(layer.parameters()) == []
    x = draw(4, 2)
    assert_close(layer(x), reference.ghost_norm(x, 2))


def test_options_reach_the_arithmetic():
    x = draw(4, 2, 3)
    options = {"strided": True, "shared_var": True}
    assert_close(GhostNorm(2, gm=2, eps=0.7).double()(x), reference.ghost_norm(x, 2, ε=0.7))
    assert_close(GhostNorm(2, gm=2, **options).double()(x), reference.ghost_norm(x, 2, **options))


def test_a_call_may_bring_its_own_number_of_groups():
    layer, x = GhostNorm(2, gm=2).double(), draw(6, 2, 3)
    assert_close(layer(x, gm=3), reference.ghost_norm(x, 3))
    assert_close(layer(x), reference.ghost_norm(x, 2))


def test_a_layer_shows_its_numbers():
    assert repr(GhostNorm(64, gm=8)) == "GhostNorm(64, gm=8)"


@pytest.mark.parametrize("gm", [3, 16])
@pytest.mark.parametrize("space", [(), (2, 2)])
def test_groups_that_do_not_divide_the_batch_are_refused(gm, space):
    assert refused(lambda: ghost_norm(torch.zeros(8, 2, *space), gm)) == (
        f"gm must divide the batch: got gm={gm} for 8 samples. Drop the last incomplete batch (drop_last=True), "
        "choose a divisor, or allow such batches with uneven='unequal' or uneven='single'."
    )


@pytest.mark.parametrize(("gm", "samples"), [(0, 8), (-2, 8), (0, 0)])
@pytest.mark.parametrize("space", [(), (2, 2)])
def test_less_than_one_group_is_refused(gm, samples, space):
    assert refused(lambda: ghost_norm(torch.zeros(samples, 2, *space), gm)) == (
        f"gm must be at least 1: got {gm}. Use 1 for one group, the whole batch."
    )


@pytest.mark.parametrize("shape", [(8, 2), (8, 2, 1, 1)])
@pytest.mark.parametrize("shared_var", [False, True])
def test_groups_of_one_sample_are_refused(shape, shared_var):
    assert refused(lambda: ghost_norm(torch.zeros(shape), 8, shared_var=shared_var)) == (
        "a group needs at least 2 values per channel: got 1 sample × 1 position "
        "with gm=8 for 8 samples. Choose a smaller gm."
    )


def test_groups_of_one_sample_with_several_positions_are_taken():
    x = draw(3, 2, 4)
    assert_close(ghost_norm(x, 3), reference.ghost_norm(x, 3))


def test_evaluation_without_statistics_is_refused():
    assert refused(lambda: ghost_norm(torch.zeros(4, 2), 2, training=False)) == (
        "GhostNorm evaluates with running statistics: got none. "
        "Pass running_mean and running_var, or call with training=True."
    )


@pytest.mark.parametrize(
    ("input", "received"),
    [
        (torch.zeros(4, 5), "(4, 5) of torch.float32"),
        (torch.zeros(3), "(3,) of torch.float32"),
        (torch.zeros(4, 3, dtype=torch.long), "(4, 3) of torch.int64"),
        (torch.zeros(4, 0, 2), "(4, 0, 2) of torch.float32"),
    ],
    ids=["width", "dimensions", "dtype", "no channels"],
)
def test_an_input_of_another_width_or_kind_is_refused(input, received):
    assert refused(lambda: GhostNorm(3, gm=2)(input)) == (
        f"input must be a floating tensor (M, 3, *spatial): got {received}. "
        "Set num_channels to the width of the layer before."
    )


@pytest.mark.parametrize(
    ("input", "received"),
    [
        (torch.zeros(()), "() of torch.float32"),
        (torch.zeros(3), "(3,) of torch.float32"),
        (torch.zeros(4, 3, dtype=torch.long), "(4, 3) of torch.int64"),
        (torch.zeros(4, 3, 2, dtype=torch.bool), "(4, 3, 2) of torch.bool"),
        (torch.zeros(4, 3, dtype=torch.complex64), "(4, 3) of torch.complex64"),
    ],
    ids=["number", "dimensions", "integers", "booleans", "complex"],
)
def test_a_function_refuses_another_kind(input, received):
    assert refused(lambda: ghost_norm(input, 2)) == (
        f"input must be a floating tensor (M, C, *spatial): got {received}. "
        "Convert it with .float(), or add the missing dimension."
    )


@pytest.mark.parametrize("shape", [(4, 0), (4, 0, 2), (4, 3, 0), (4, 3, 2, 0)])
def test_a_function_refuses_an_input_without_channels_or_positions(shape):
    assert refused(lambda: ghost_norm(torch.zeros(shape), 2)) == (
        f"input must have channels and positions: got {shape}. Check the layer before this one."
    )


@pytest.mark.parametrize("gm", [0, -1])
def test_a_layer_without_groups_is_refused(gm):
    assert (
        refused(lambda: GhostNorm(3, gm=gm))
        == f"gm must be at least 1: got {gm}. Use 1 for one group, the whole batch."
    )


def test_a_layer_without_channels_is_refused():
    assert refused(lambda: GhostNorm(0, gm=1)) == (
        "num_channels must be at least 1: got 0. Pass the width of the layer before."
    )
