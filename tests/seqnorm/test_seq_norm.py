"""SeqNorm against the literal reference, its two halves and its identities."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch import nn
from torch.testing import assert_close

from seqnorm import GhostNorm, SeqNorm, ghost_norm, seq_norm
from tests.seqnorm import reference
from tests.seqnorm.shapes import Case, cases


def draw(*shape, seed=0, dtype=torch.float64):
    return (2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) + 1).to(dtype)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(case=cases())
def test_values_and_gradients_equal_the_reference(case: Case):
    x, (weight, bias) = case.input(), case.weight_and_bias()
    fast = seq_norm(x, case.gc, case.gm, weight=weight, bias=bias)
    literal = reference.seq_norm(x, case.gc, case.gm, weight, bias)
    assert_close(fast, literal)
    gradients = torch.autograd.grad(fast, (x, weight, bias), case.upstream())
    assert_close(gradients, torch.autograd.grad(literal, (x, weight, bias), case.upstream()))


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 2), (4, 6, 1, 2)])
def test_gradients_in_training_equal_finite_differences(shape):
    x, weight, bias = draw(*shape).requires_grad_(), draw(6).requires_grad_(), draw(6, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, w, b: seq_norm(x, 2, 2, weight=w, bias=b), (x, weight, bias))


@pytest.mark.parametrize(("gc", "gm"), [(1, 1), (2, 1), (1, 4), (2, 4), (4, 2)])
def test_it_is_group_norm_without_affine_then_ghost_norm(gc, gm):
    x = draw(8, 4, 3, 3)
    assert_close(seq_norm(x, gc, gm), ghost_norm(F.group_norm(x, gc), gm))


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


def test_shifting_and_rescaling_a_samples_group_of_channels_changes_nothing():
    x = draw(4, 6, 3)
    moved = x.clone()
    moved[1, 3:] = moved[1, 3:] * 5 - 70  # one sample, its second group of channels
    assert_close(seq_norm(moved, 2, 2, eps=0), seq_norm(x, 2, 2, eps=0))


def test_one_weight_and_one_bias_per_channel_are_learned():
    assert {name: tuple(p.shape) for name, p in SeqNorm(6, gc=2, gm=2).named_parameters()} == {
        "weight": (6,),
        "bias": (6,),
    }


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 2, 3)])
def test_running_statistics_are_those_of_the_group_norms_output(shape):
    layer, literal = SeqNorm(4, gc=2, gm=3, momentum=0.2).double(), reference.RunningStatistics(4, momentum=0.2)
    for step in range(3):
        x = draw(*shape, seed=step)
        layer(x)
        literal.step(reference.group_norm(x, 2), 3)
        assert_close(layer.running_mean.tolist(), literal.mean)
        assert_close(layer.running_var.tolist(), literal.var)
    assert layer.num_batches_tracked == 3


def test_evaluation_equals_the_reference():
    layer, literal = SeqNorm(4, gc=2, gm=2).double(), reference.RunningStatistics(4)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    for step in range(3):
        layer(draw(4, 4, seed=step))
        literal.step(reference.group_norm(draw(4, 4, seed=step), 2), 2)
    x = draw(5, 4, seed=9)
    assert_close(layer.eval()(x), literal.evaluate(reference.group_norm(x, 2), layer.weight, layer.bias))


@pytest.mark.parametrize("space", [(), (2, 2)])
def test_evaluation_takes_any_batch_size_and_treats_each_sample_alone(space):
    layer = SeqNorm(4, gc=2, gm=4).double()
    layer(draw(8, 4, *space))
    x = draw(7, 4, *space, seed=1)
    one_by_one = torch.cat([layer.eval()(x[i : i + 1]) for i in range(7)])
    assert_close(layer(x), one_by_one)


def test_without_running_statistics_evaluation_uses_its_whole_input():
    layer = SeqNorm(4, gc=2, gm=2, track_running_stats=False).double()
    x = draw(5, 4)  # which 2 groups of samples would not divide
    assert_close(layer.eval()(x), reference.seq_norm(x, 2, 1))


def test_eps_is_inside_both_roots():
    x = draw(4, 4)
    assert_close(SeqNorm(4, gc=2, gm=2, eps=0.7).double()(x), reference.seq_norm(x, 2, 2, ε=0.7))


def test_a_ghost_norms_state_loads_into_a_seq_norm():
    ghost, layer = GhostNorm(4, gm=2), SeqNorm(4, gc=2, gm=2)
    ghost(draw(4, 4, dtype=torch.float32))
    layer.load_state_dict(ghost.state_dict())
    assert_close(layer.state_dict(), ghost.state_dict())


def test_a_layer_shows_its_numbers():
    assert repr(SeqNorm(64, gc=4, gm=8)) == "SeqNorm(64, gc=4, gm=8)"


def refused(call):
    """Return the message of the ValueError that ``call`` raises."""
    with pytest.raises(ValueError) as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize("gc", [4, 0, -1, 12])
def test_groups_that_do_not_divide_the_channels_are_refused(gc):
    message = (
        f"gc must divide the channels: got gc={gc} for 6 channels. "
        "Choose a divisor, or use GhostNorm for no GroupNorm half."
    )
    assert refused(lambda: SeqNorm(6, gc=gc, gm=2)) == message
    assert refused(lambda: seq_norm(torch.zeros(4, 6), gc, 2)) == message


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1, 1)])
def test_groups_of_one_channel_are_refused_where_it_has_one_value(shape):
    assert refused(lambda: SeqNorm(6, gc=6, gm=2)(torch.zeros(shape))) == (
        f"a group of channels needs at least 2 values: got gc=6 for input {shape}. "
        "Choose a smaller gc, or normalize an input with more than one position in space."
    )


def test_groups_that_do_not_divide_the_batch_are_refused():
    assert refused(lambda: SeqNorm(6, gc=2, gm=3)(torch.zeros(8, 6))) == (
        "gm must divide the batch: got gm=3 for 8 samples. "
        "Drop the last incomplete batch (drop_last=True) or choose a divisor."
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
