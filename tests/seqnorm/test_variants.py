"""The paper's variants: noisy BatchNorm, the reversed order, one variance for all channels; and strided groups."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from seqnorm import BatchNorm, GhostNorm, NoisyBatchNorm, NoisySeqNorm, SeqNorm, ghost_norm, group_norm, seq_norm
from tests.seqnorm import reference
from tests.seqnorm.shapes import draw, gradients, laid_out, refused


@pytest.mark.parametrize(
    ("theirs", "shape"),
    [
        (nn.BatchNorm1d, (6, 3)),
        (nn.BatchNorm1d, (4, 3, 5)),
        (nn.BatchNorm2d, (4, 3, 2, 2)),
        (nn.BatchNorm3d, (4, 3, 2, 1, 2)),
    ],
)
@pytest.mark.parametrize("momentum", [0.1, 0.3, None])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_batch_norm_is_torchs_over_several_steps_and_in_evaluation(theirs, shape, momentum, layout):
    theirs, ours = theirs(3, momentum=momentum, eps=1e-3), BatchNorm(3, momentum=momentum, eps=1e-3)
    nn.init.normal_(theirs.weight)
    ours.load_state_dict(theirs.state_dict())  # the same names and shapes
    for step in range(4):
        x, upstream = laid_out(draw(*shape, seed=step).float(), layout).requires_grad_(), draw(*shape, seed=9).float()
        output, expected = ours(x), theirs(x)
        assert_close(output, expected)
        assert_close(ours.state_dict(), theirs.state_dict())
        assert_close(
            gradients(output, (x, *ours.parameters()), upstream),
            gradients(expected, (x, *theirs.parameters()), upstream),
        )
    x = draw(*shape, seed=9).float()
    assert_close(ours.eval()(x), theirs.eval()(x))
    assert_close(ours.state_dict(), theirs.state_dict())


@pytest.mark.parametrize("options", [{"affine": False}, {"track_running_stats": False}], ids=str)
def test_batch_norm_without_parameters_or_statistics_is_torchs(options):
    theirs, ours = nn.BatchNorm1d(3, **options).double(), BatchNorm(3, **options).double()
    for training in (True, False):
        assert_close(ours.train(training)(draw(6, 3)), theirs.train(training)(draw(6, 3)))
        assert_close(ours.state_dict(), theirs.state_dict())


def test_batch_norms_state_loads_into_torchs():
    ours, theirs = BatchNorm(3), nn.BatchNorm2d(3)
    ours(draw(4, 3, 2, 2).float())
    theirs.load_state_dict(ours.state_dict())
    x = draw(2, 3, 2, 2, seed=1).float()
    assert_close(theirs.eval()(x), ours.eval()(x))


def test_batch_norm_is_ghost_norm_with_one_group():
    x = draw(6, 3, 2)
    assert_close(BatchNorm(3).double()(x), GhostNorm(3, gm=1).double()(x), rtol=0, atol=0)
    assert repr(BatchNorm(3)) == "BatchNorm(3, gm=1)"


@pytest.mark.parametrize("gm", [1, 2, 4])
def test_strided_groups_are_those_of_a_batch_norm_over_folded_samples(gm):
    x, weight, bias = (tensor.requires_grad_() for tensor in (draw(8, 3, 2, 2), draw(3), draw(3, seed=1)))
    output = ghost_norm(x, gm, weight=weight, bias=bias, strided=True)
    folded = F.batch_norm(x.view(-1, 3 * gm, 2, 2), None, None, weight.repeat(gm), bias.repeat(gm), training=True)
    assert_close(output, folded.view_as(x))  # David Page's way
    upstream = draw(8, 3, 2, 2, seed=2)
    every = x, weight, bias
    assert_close(gradients(output, every, upstream), gradients(folded.view_as(x), every, upstream))


@pytest.mark.parametrize("space", [(), (2, 2)])
def test_sample_i_is_in_group_i_mod_gm(space):
    x = draw(6, 2, *space)
    changed = x.clone()
    changed[4] += 10  # in group 1 of 3, with sample 1
    difference = (ghost_norm(changed, 3, strided=True) - ghost_norm(x, 3, strided=True)).flatten(1).abs().amax(dim=1)
    assert difference.gt(0).tolist() == [False, True, False, False, True, False]


@pytest.mark.parametrize("space", [(), (2, 2)])
def test_strided_groups_are_consecutive_ones_of_samples_dealt_out(space):
    x = draw(6, 4, *space)
    dealt = [0, 3, 1, 4, 2, 5]
    assert_close(ghost_norm(x, 3, strided=True)[dealt], ghost_norm(x[dealt], 3))
    assert_close(seq_norm(x, 2, 3, strided=True)[dealt], seq_norm(x[dealt], 2, 3))


@pytest.mark.parametrize("space", [(), (2, 2)])
def test_a_shared_variance_is_the_mean_of_the_channels_variances(space):
    x = draw(6, 3, *space) * torch.tensor([1.0, 10, 100]).view(3, *[1] * len(space))
    groups = ghost_norm(x, 2, eps=0, shared_var=True).reshape(2, 3, 3, -1)  # group, sample, channel, position
    assert_close(groups.mean(dim=(1, 3)), torch.zeros(2, 3).double())
    assert_close(groups.var(dim=(1, 3), correction=0).mean(1), torch.ones(2).double())


@pytest.mark.parametrize("space", [(), (2, 2)])
def test_a_shared_variance_keeps_the_proportions_of_channels(space):
    x = draw(6, 3, *space)
    deviations = x - x.mean(dim=[0, *range(2, x.dim())], keepdim=True)
    ratio = ghost_norm(x, 1, shared_var=True) / deviations
    assert_close(ratio, ratio[0].flatten()[0].expand_as(ratio))


@pytest.mark.parametrize("space", [(), (2, 2)])
def test_of_one_channel_the_shared_variance_is_its_own(space):
    x = draw(6, 1, *space)
    assert_close(ghost_norm(x, 2, shared_var=True), ghost_norm(x, 2))


def test_groups_of_samples_do_not_share_their_variance():
    x = draw(6, 2, 3)
    x[:3] *= 100
    assert_close(ghost_norm(x, 2, shared_var=True)[3:], ghost_norm(x[3:], 1, shared_var=True))


@pytest.mark.parametrize("options", [{}, {"strided": True}, {"shared_var": True}], ids=str)
@pytest.mark.parametrize("space", [(), (2, 2)])
def test_reversed_it_is_ghost_norm_then_group_norm(space, options):
    x, weight, bias = (tensor.requires_grad_() for tensor in (draw(6, 4, *space), draw(4), draw(4, seed=1)))
    output = seq_norm(x, 2, 3, weight=weight, bias=bias, ghost_first=True, **options)
    expected = group_norm(ghost_norm(x, 3, **options), 2, weight=weight, bias=bias)
    assert_close(output, expected)
    upstream, every = draw(6, 4, *space, seed=2), (x, weight, bias)
    assert_close(gradients(output, every, upstream), gradients(expected, every, upstream))


@pytest.mark.parametrize("space", [(), (2, 2)])
def test_reversed_it_keeps_a_ghost_norms_statistics(space):
    reversed_, ghost = SeqNorm(4, gc=2, gm=2, ghost_first=True).double(), GhostNorm(4, gm=2).double()
    for seed in range(3):
        reversed_(draw(4, 4, *space, seed=seed)), ghost(draw(4, 4, *space, seed=seed))
    assert_close(reversed_.state_dict(), ghost.state_dict())
    x = draw(3, 4, *space, seed=9)
    assert_close(reversed_.eval()(x), F.group_norm(ghost.eval()(x), 2))


@pytest.mark.parametrize("space", [(), (2, 2)])
def test_reversed_without_eps_each_samples_groups_have_mean_0_and_variance_1(space):
    groups = seq_norm(draw(6, 8, *space), 2, 3, eps=1e-12, ghost_first=True).reshape(6, 2, -1)
    assert_close(groups.mean(2), torch.zeros(6, 2).double())
    assert_close(groups.var(2, correction=0), torch.ones(6, 2).double())


@pytest.mark.parametrize("space", [(), (2, 2)])
@pytest.mark.parametrize("gm", [1, 2])
def test_without_noise_noisy_batch_norm_is_ghost_norm_bit_for_bit(space, gm):
    noisy, clean = NoisyBatchNorm(3, sigma=0, gm=gm), GhostNorm(3, gm=gm)
    for seed in range(2):
        x = draw(4, 3, *space, seed=seed).float()
        assert noisy(x).equal(clean(x))
        assert_close(noisy.state_dict(), clean.state_dict(), rtol=0, atol=0)


def test_noisy_batch_norm_has_one_group_unless_told():
    x = draw(6, 3, 2).float()
    assert NoisyBatchNorm(3, sigma=0)(x).equal(BatchNorm(3)(x))


@pytest.mark.parametrize("sigma", [3e-4, 0.5, 2.0])
def test_the_noise_has_the_standard_deviation_asked_for(sigma):
    torch.manual_seed(0)
    mean = torch.zeros(2).double()
    layer = NoisyBatchNorm(2, sigma=sigma, momentum=1.0, eps=1e-12).double()
    output = layer(torch.zeros(100_000, 2).double())  # nothing but noise, normalized
    assert_close(layer.running_var.sqrt(), torch.full((2,), sigma).double(), rtol=0.01, atol=0)
    assert_close(layer.running_mean, mean, rtol=0, atol=0.015 * sigma)
    assert_close((output.abs() < 1).double().mean(0), torch.full((2,), 0.6827).double(), rtol=0.02, atol=0)  # Gaussian


def test_every_number_has_noise_of_its_own():
    torch.manual_seed(0)
    noise = NoisyBatchNorm(3, sigma=1.0, affine=False)(torch.zeros(64, 3, 8, 8))
    channels = noise.movedim(1, 0).flatten(1)
    assert noise.unique().numel() > 0.99 * noise.numel()
    assert_close(channels.corrcoef(), torch.eye(3), rtol=0, atol=5 / 4096**0.5)  # standard errors


def test_the_noise_follows_torchs_seed_and_differs_from_call_to_call():
    layer, x = NoisyBatchNorm(3, sigma=0.1), draw(4, 3, 2).float()
    torch.manual_seed(0)
    first, second = layer(x), layer(x)
    torch.manual_seed(0)
    assert layer(x).equal(first)
    assert not second.equal(first)


@pytest.mark.parametrize("space", [(), (2, 2)])
def test_in_evaluation_there_is_no_noise(space):
    noisy, clean = NoisyBatchNorm(3, sigma=0.5).double(), BatchNorm(3).double()
    noisy(draw(4, 3, *space))
    clean.load_state_dict(noisy.state_dict())
    x = draw(5, 3, *space, seed=1)
    assert noisy.eval()(x).equal(clean.eval()(x))


def test_noise_leaves_the_input_as_it_was():
    x = draw(4, 3, 2)
    before = x.clone()
    NoisyBatchNorm(3, sigma=0.5).double()(x)
    assert x.equal(before)


@pytest.mark.parametrize("space", [(), (2, 2)])
def test_the_gradient_passes_the_noise(space):
    x, upstream = draw(4, 3, *space).requires_grad_(), draw(4, 3, *space, seed=1)
    layer = NoisyBatchNorm(3, sigma=0.5, gm=2).double()
    torch.manual_seed(0)
    found = gradients(layer(x), (x, *layer.parameters()), upstream)
    torch.manual_seed(0)
    noisy = x + 0.5 * torch.randn_like(x)
    expected = reference.ghost_norm(noisy, 2, layer.weight, layer.bias)
    assert_close(found, gradients(expected, (x, *layer.parameters()), upstream))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_noise_keeps_the_precision(dtype):
    assert NoisyBatchNorm(3, sigma=0.5)(draw(4, 3, 2, dtype=dtype)).dtype == dtype


def test_a_noisy_layer_shows_its_numbers():
    assert repr(NoisyBatchNorm(64, sigma=3e-4, gm=8)) == "NoisyBatchNorm(64, sigma=0.0003, gm=8)"
    assert repr(NoisySeqNorm(64, sigma=3e-4, gc=4, gm=8)) == "NoisySeqNorm(64, gc=4, gm=8, sigma=0.0003)"


@pytest.mark.parametrize("ghost_first", [False, True])
@pytest.mark.parametrize("space", [(), (2, 2)])
def test_noisy_seq_norm_is_seq_norm_of_the_noisy_input_in_training(space, ghost_first):
    noisy = NoisySeqNorm(4, sigma=0.5, gc=2, gm=2, ghost_first=ghost_first).double()
    clean = SeqNorm(4, gc=2, gm=2, ghost_first=ghost_first).double()
    x = draw(4, 4, *space)
    torch.manual_seed(0)
    output = noisy(x)
    torch.manual_seed(0)
    assert output.equal(clean(x + 0.5 * torch.randn_like(x)))
    assert_close(noisy.state_dict(), clean.state_dict(), rtol=0, atol=0)
    assert noisy.eval()(x).equal(clean.eval()(x))


@pytest.mark.parametrize("sigma", [-1e-9, -1, float("inf"), float("nan")])
def test_noise_of_no_finite_size_is_refused(sigma):
    for make in (lambda: NoisyBatchNorm(3, sigma=sigma), lambda: NoisySeqNorm(3, sigma=sigma, gc=1, gm=1)):
        assert refused(make) == f"sigma must be 0 or more, and finite: got {sigma}. The paper's best is 3e-4."


@pytest.mark.parametrize("training", [True, False])
def test_a_noisy_layer_refuses_integers_as_the_others_do(training):
    assert refused(lambda: NoisyBatchNorm(3, sigma=0.1).train(training)(torch.zeros(4, 3, dtype=torch.long))) == (
        "input must be a floating tensor (M, 3, *spatial): got (4, 3) of torch.int64. "
        "Set num_channels to the width of the layer before."
    )
