"""From a trial's point and numbers to the layers of its network."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from seqnorm import GhostNorm, GroupNorm, NoisyBatchNorm, NoisySeqNorm, SeqNorm
from trainers.descriptors.digits_mlp import DigitsNumbers
from trainers.models.mlp import mlp
from trainers.norms import make_norm_factory
from trainers.recipe import RecipeError, find, resolve
from trainers.trial import Params


def params(gm=4, gc=2, normalize=True, **numbers):
    return Params(gm=gm, gc=gc, seed=0, numbers=DigitsNumbers(**numbers), normalize=normalize)


def layer(width=6, **changes):
    return make_norm_factory(params(**changes))(width)


def samples(count=16, width=6):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(0))


def test_gm_and_gc_give_seq_norm():
    seq = layer()
    assert type(seq) is SeqNorm
    assert (seq.num_channels, seq.gc, seq.gm) == (6, 2, 4)


def test_gc_0_gives_ghost_norm():
    ghost = layer(gc=0)
    assert type(ghost) is GhostNorm
    assert (ghost.num_channels, ghost.gm) == (6, 4)


def test_gm_1_and_gc_0_is_batch_norm():
    x = samples()
    torch.testing.assert_close(layer(gm=1, gc=0)(x), nn.BatchNorm1d(6)(x))


@pytest.mark.parametrize("numbers", [{}, {"devices": 8}, {"devices": 8, "real_devices": 2}, {"accumulate": 4}], ids=str)
def test_gm_0_is_the_groupnorm_of_torch_however_the_batch_is_shared(numbers):
    x, group = samples(), layer(gm=0, gc=2, **numbers)
    assert type(group) is GroupNorm
    torch.testing.assert_close(group(x), nn.GroupNorm(2, 6)(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("point", "reason"),
    [
        (
            {"gc": 0},
            "gm=0 is GroupNorm alone, which needs groups of channels: got gm=0 where gc is 0. "
            "Give gc from 1; a search tries both together as a grid.",
        ),
        ({"noise": 0.1}, "GroupNorm alone is trained without noise: got gm=0 and noise=0.1. Leave one of them out."),
    ],
)
def test_gm_0_without_groups_of_channels_or_with_noise_is_refused(point, reason):
    with pytest.raises(RecipeError) as refused:
        layer(gm=0, **point)
    assert str(refused.value) == reason


def test_the_variant_none_gives_layers_that_do_nothing():
    x = samples()
    assert layer(gm=0, gc=0, normalize=False)(x) is x


@pytest.mark.parametrize("gc", [0, 2])
@pytest.mark.parametrize(
    ("numbers", "groups"),
    [
        ({"devices": 8}, 32),
        ({"devices": 8, "real_devices": 2}, 16),
        ({"devices": 8, "real_devices": 8}, 4),
        ({"devices": 8, "accumulate": 4}, 8),
        ({"devices": 8, "real_devices": 2, "accumulate": 4}, 4),
        ({"accumulate": 4}, 1),
    ],
    ids=str,
)
def test_devices_and_passes_share_the_groups_of_a_batch(gc, numbers, groups):
    assert layer(gc=gc, **numbers).gm == groups


def test_groups_that_devices_and_passes_cannot_share_evenly_are_refused():
    with pytest.raises(RecipeError, match=r"^gm × devices must divide over .*: got 4 × 1 over 2 × 3\. "):
        make_norm_factory(params(real_devices=2, accumulate=3))


def test_ghost_first_changes_the_places_of_seq_norms_halves():
    assert layer().ghost_first is False
    swapped = layer(ghost_first=True)
    assert swapped.ghost_first is True
    x = samples()
    assert not torch.allclose(layer()(x), swapped(x))
    torch.testing.assert_close(swapped(x), SeqNorm(6, 2, 4, ghost_first=True)(x))


@pytest.mark.parametrize("gc", [0, 2])
def test_shared_var_reaches_either_layer(gc):
    assert layer(gc=gc).shared_var is False
    assert layer(gc=gc, shared_var=True).shared_var is True
    x = samples() * torch.arange(1, 7)
    assert not torch.allclose(layer(gc=gc)(x), layer(gc=gc, shared_var=True)(x))


@pytest.mark.parametrize(("gc", "kind"), [(0, NoisyBatchNorm), (2, NoisySeqNorm)])
def test_noise_reaches_either_layer_with_its_groups(gc, kind):
    noisy = layer(gc=gc, noise=0.5, shared_var=True)
    assert type(noisy) is kind
    assert (noisy.sigma, noisy.gm, noisy.shared_var) == (0.5, 4, True)


@pytest.mark.parametrize("gc", [0, 2])
def test_noise_is_added_before_the_norm_in_training(gc):
    x = samples()
    torch.manual_seed(1)
    noised = layer(gc=gc, noise=0.5)(x)
    torch.manual_seed(1)
    torch.testing.assert_close(noised, layer(gc=gc)(x + 0.5 * torch.randn(16, 6)))


@pytest.mark.parametrize("gc", [0, 2])
def test_evaluation_is_without_noise(gc):
    noisy, quiet = layer(gc=gc, noise=0.5).eval(), layer(gc=gc).eval()
    x = samples()
    assert torch.equal(noisy(x), noisy(x))
    assert torch.equal(noisy(x), quiet(x))


@pytest.mark.parametrize("gc", [0, 2])
@pytest.mark.parametrize("refused", [{"gm": 3}, {"gm": torch.tensor(2)}], ids=["uneven", "in turn"])
def test_a_noisy_layer_does_not_count_what_it_refuses(gc, refused):
    noisy = layer(gc=gc, noise=0.5)
    noisy.running = "sequential"
    noisy(samples())
    before = {name: buffer.clone() for name, buffer in noisy.named_buffers()}
    with pytest.raises(ValueError, match="gm"):
        noisy(samples(), **refused)
    assert before["num_batches_tracked"] == 4  # groups, each of them a batch
    assert all(buffer.equal(before[name]) for name, buffer in noisy.named_buffers())


def test_noise_leaves_the_order_of_the_halves_alone():
    assert layer(noise=0.5, ghost_first=True).ghost_first is True


@pytest.mark.parametrize("gc", [0, 2])
@pytest.mark.parametrize("passes", [2, 4])
def test_the_passes_of_a_step_move_running_statistics_as_far_as_one_would(gc, passes):
    whole, part = layer(gc=gc), layer(gc=gc, accumulate=passes)
    same = samples(4)
    whole(same.repeat(4, 1))  # groups of four
    for _ in range(passes):
        part(same.repeat(4 // passes, 1))
    torch.testing.assert_close(part.running_mean, whole.running_mean)
    torch.testing.assert_close(part.running_var, whole.running_var)


def test_a_network_normalizes_before_each_nonlinearity():
    network = mlp(12, (8, 6), 3, make_norm_factory(params()))
    kinds = [type(layer) for layer in network]
    hidden = [nn.Linear, SeqNorm, nn.ReLU]
    assert kinds == [nn.Flatten, *hidden, *hidden, nn.Linear]
    assert network(torch.randn(8, 3, 4)).shape == (8, 3)


def test_dropout_follows_each_nonlinearity():
    kinds = [type(layer) for layer in mlp(12, (8, 6), 3, make_norm_factory(params()), dropout=0.2)]
    hidden = [nn.Linear, SeqNorm, nn.ReLU, nn.Dropout]
    assert kinds == [nn.Flatten, *hidden, *hidden, nn.Linear]


@pytest.mark.parametrize(
    ("name", "small"),
    [
        ("digits-mlp", {}),
        ("mnist-simplenet", {"subset": 512}),
        ("cifar10-resnet56", {"depth": 8, "width": 4}),
        ("cifar10-wrn28x10", {"depth": 10, "width": 1}),
        ("imagenet-resnet18", {"blocks": 1, "width": 4}),
    ],
)
def test_a_descriptor_states_the_widths_that_its_network_normalizes(name, small):
    recipe = find(name)
    numbers = recipe.with_overrides(small)
    ours = Params(gm=4, gc=0, seed=0, numbers=numbers)
    network = resolve(recipe.build)(numbers, (3, 32, 32), 10, make_norm_factory(ours))
    widths = sorted(module.num_channels for module in network.modules() if isinstance(module, GhostNorm))
    assert tuple(widths) == tuple(sorted(recipe.widths(numbers)))


def test_a_factory_makes_layers_of_their_own():
    make = make_norm_factory(replace(params(), gc=0))
    assert make(6) is not make(6)
    assert make(3).num_channels == 3
