"""GhostNorm against the literal reference, the paper's worked example, torch's BatchNorm and its identities."""

import pytest
import torch
from hypothesis import given, settings
from torch import nn
from torch.testing import assert_close

from seqnorm import GhostNorm, ghost_norm
from tests.seqnorm import reference
from tests.seqnorm.shapes import Case, cases

SAMPLES = torch.tensor([35.0, 39, 30, 4, 38, 26, 27, 19]).reshape(8, 1, 1)  # paper section 2.3
BATCH_NORM_PRINTED = ["0.7", "1.1", "0.3", "-2.2", "1.0", "-0.1", "-0.02", "-0.8"]
GHOST_NORM_PRINTED = ["0.6", "0.9", "0.2", "-1.7", "1.5", "-0.2", "-0.07", "-1.2"]


def draw(*shape, seed=0, dtype=torch.float64):
    return (2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) + 1).to(dtype)


def printed_like(values, printed):
    """Write each value with as many decimals as the paper prints."""
    return [f"{value:.{len(text.partition('.')[2])}f}" for value, text in zip(values.flatten(), printed, strict=True)]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(case=cases())
def test_values_and_gradients_equal_the_reference(case: Case):
    x, (weight, bias) = case.input(), case.weight_and_bias()
    fast = ghost_norm(x, case.gm, weight=weight, bias=bias)
    literal = reference.ghost_norm(x, case.gm, weight, bias)
    assert_close(fast, literal)
    gradients = torch.autograd.grad(fast, (x, weight, bias), case.upstream())
    assert_close(gradients, torch.autograd.grad(literal, (x, weight, bias), case.upstream()))


@pytest.mark.parametrize("shape", [(6, 2), (6, 2, 3), (6, 2, 2, 1)])
def test_gradients_in_training_equal_finite_differences(shape):
    x, weight, bias = draw(*shape).requires_grad_(), draw(2).requires_grad_(), draw(2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, w, b: ghost_norm(x, 3, weight=w, bias=b), (x, weight, bias))


def test_gradients_in_evaluation_equal_finite_differences():
    statistics = {"running_mean": draw(2), "running_var": draw(2, seed=1).square() + 0.1}
    x, weight, bias = draw(3, 2, 2).requires_grad_(), draw(2).requires_grad_(), draw(2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, w, b: ghost_norm(x, 1, weight=w, bias=b, training=False, **statistics), (x, weight, bias)
    )


def test_float32_stays_within_float32_of_the_reference():
    x = draw(12, 3, 4, 4, dtype=torch.float32)
    output = ghost_norm(x, 4)
    assert output.dtype == torch.float32
    assert_close(output.double(), reference.ghost_norm(x, 4), rtol=1e-5, atol=1e-5)


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


@pytest.mark.parametrize(("batch_norm", "shape"), [(nn.BatchNorm1d, (6, 3)), (nn.BatchNorm2d, (4, 3, 2, 2))])
def test_one_group_is_torchs_batch_norm_over_several_steps_and_in_evaluation(batch_norm, shape):
    theirs, ours = batch_norm(3, momentum=0.3), GhostNorm(3, gm=1, momentum=0.3)
    nn.init.normal_(theirs.weight)
    ours.load_state_dict(theirs.state_dict())  # the same names and shapes
    for step in range(4):
        x = draw(*shape, seed=step, dtype=torch.float32)
        assert_close(ours(x), theirs(x))
        assert_close(ours.state_dict(), theirs.state_dict())
    x = draw(*shape, seed=9, dtype=torch.float32)
    assert_close(ours.eval()(x), theirs.eval()(x))
    assert_close(ours.state_dict(), theirs.state_dict())


def test_one_group_has_torchs_batch_norm_gradients():
    theirs, ours = nn.BatchNorm1d(3).double(), GhostNorm(3, gm=1).double()
    x, upstream = draw(6, 3).requires_grad_(), draw(6, 3, seed=1)
    expected = torch.autograd.grad(theirs(x), (x, *theirs.parameters()), upstream)
    assert_close(torch.autograd.grad(ours(x), (x, *ours.parameters()), upstream), expected)


def test_without_eps_each_group_has_mean_0_and_variance_1():
    groups = ghost_norm(draw(12, 3, 2, 2), 4, eps=0).reshape(4, 3, 3, 4)  # group, sample, channel, position
    assert_close(groups.mean(dim=(1, 3)), torch.zeros(4, 3).double())
    assert_close(groups.var(dim=(1, 3), correction=0), torch.ones(4, 3).double())


def test_shifting_and_rescaling_the_channels_of_a_group_changes_nothing():
    x = draw(6, 2, 3)
    moved = x.clone()
    moved[:3] = moved[:3] * torch.tensor([5.0, 0.2])[:, None] + torch.tensor([-7.0, 100.0])[:, None]
    assert_close(ghost_norm(moved, 2, eps=0), ghost_norm(x, 2, eps=0))


def test_groups_are_runs_of_consecutive_samples():
    x = draw(6, 2)
    changed = x.clone()
    changed[3] += 10  # the first of the second group
    difference = (ghost_norm(changed, 2) - ghost_norm(x, 2)).abs().amax(dim=1)
    assert difference[:3].eq(0).all()
    assert difference[3:].gt(0).all()


def test_memory_layout_changes_nothing():
    x = draw(6, 4, 3, 2)
    assert_close(ghost_norm(x.to(memory_format=torch.channels_last), 3), ghost_norm(x, 3))


def test_the_input_is_left_as_it_was():
    x = draw(4, 2)
    before = x.clone()
    ghost_norm(x, 2)
    assert x.equal(before)


def test_a_constant_channel_becomes_its_bias_with_finite_gradients():
    x = torch.full((4, 1), 3.0).requires_grad_()
    output = ghost_norm(x, 2, bias=torch.tensor([0.5]))
    output.sum().backward()
    assert output.equal(torch.full((4, 1), 0.5))
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("shape", [(6, 2), (6, 2, 2, 3)])
def test_running_statistics_move_once_a_step_by_the_mean_over_groups(shape):
    layer, literal = GhostNorm(2, gm=3, momentum=0.2).double(), reference.RunningStatistics(2, momentum=0.2)
    for step in range(3):
        x = draw(*shape, seed=step)
        layer(x)
        literal.step(x, 3)
        assert_close(layer.running_mean.tolist(), literal.mean)
        assert_close(layer.running_var.tolist(), literal.var)
    assert layer.num_batches_tracked == 3


def test_evaluation_equals_the_reference():
    layer, literal = GhostNorm(2, gm=2).double(), reference.RunningStatistics(2)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    for step in range(3):
        layer(draw(4, 2, 3, seed=step))
        literal.step(draw(4, 2, 3, seed=step), 2)
    x = draw(5, 2, 3, seed=9)
    assert_close(layer.eval()(x), literal.evaluate(x, layer.weight, layer.bias))


def test_evaluation_takes_any_batch_size_and_treats_each_sample_alone():
    layer = GhostNorm(2, gm=4).double()
    layer(draw(8, 2))
    x = draw(7, 2, seed=1)
    one_by_one = torch.cat([layer.eval()(x[i : i + 1]) for i in range(7)])
    assert_close(layer(x), one_by_one)


def test_evaluation_leaves_the_running_statistics_alone():
    layer = GhostNorm(2, gm=2)
    layer(draw(4, 2, dtype=torch.float32))
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    layer.eval()(draw(4, 2, seed=1, dtype=torch.float32))
    assert_close(layer.state_dict(), before, rtol=0, atol=0)


def test_running_statistics_carry_no_gradient():
    layer = GhostNorm(2, gm=2)
    layer(draw(4, 2, dtype=torch.float32).requires_grad_())
    assert not layer.running_mean.requires_grad
    assert not layer.running_var.requires_grad


def test_without_running_statistics_evaluation_uses_its_whole_input():
    layer = GhostNorm(2, gm=2, track_running_stats=False).double()
    assert list(layer.state_dict()) == ["weight", "bias"]
    x = draw(5, 2)  # which 2 groups would not divide
    assert_close(layer.eval()(x), reference.ghost_norm(x, 1))


def test_without_affine_there_is_nothing_to_learn():
    layer = GhostNorm(2, gm=2, affine=False).double()
    assert list(layer.parameters()) == []
    x = draw(4, 2)
    assert_close(layer(x), reference.ghost_norm(x, 2))


def test_options_reach_the_arithmetic():
    x = draw(4, 2)
    assert_close(GhostNorm(2, gm=2, eps=0.7).double()(x), reference.ghost_norm(x, 2, ε=0.7))


def test_a_layer_shows_its_numbers():
    assert repr(GhostNorm(64, gm=8)) == "GhostNorm(64, gm=8)"


def refused(call):
    """Return the message of the ValueError that ``call`` raises."""
    with pytest.raises(ValueError) as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize(("gm", "samples"), [(3, 8), (16, 8), (0, 8), (-2, 8), (1, 0)])
def test_groups_that_do_not_divide_the_batch_are_refused(gm, samples):
    assert refused(lambda: ghost_norm(torch.zeros(samples, 2), gm)) == (
        f"gm must divide the batch: got gm={gm} for {samples} samples. "
        "Drop the last incomplete batch (drop_last=True) or choose a divisor."
    )


@pytest.mark.parametrize("shape", [(8, 2), (8, 2, 1, 1)])
def test_groups_of_one_sample_are_refused(shape):
    assert refused(lambda: ghost_norm(torch.zeros(shape), 8)) == (
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
    ],
    ids=["width", "dimensions", "dtype"],
)
def test_an_input_of_another_width_or_kind_is_refused(input, received):
    assert refused(lambda: GhostNorm(3, gm=2)(input)) == (
        f"input must be a floating tensor (M, 3, *spatial): got {received}. "
        "Set num_channels to the width of the layer before."
    )


def test_a_layer_without_groups_is_refused():
    assert refused(lambda: GhostNorm(3, gm=0)) == "gm must be at least 1: got 0. Use 1 for BatchNorm."


def test_a_layer_without_channels_is_refused():
    assert refused(lambda: GhostNorm(0, gm=1)) == (
        "num_channels must be at least 1: got 0. Pass the width of the layer before."
    )
