"""From a trial's point to the layers of its network."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from seqnorm import GhostNorm, SeqNorm
from trainers.descriptors.digits_mlp import DigitsNumbers
from trainers.models.mlp import mlp
from trainers.norms import norm_of
from trainers.recipe import find, resolve
from trainers.trial import Params


def params(**changes):
    return Params(**{"gm": 4, "gc": 2, "seed": 0, "numbers": DigitsNumbers(), **changes})


def test_gm_and_gc_give_seq_norm():
    layer = norm_of(params())(6)
    assert isinstance(layer, SeqNorm)
    assert (layer.num_channels, layer.gc, layer.gm) == (6, 2, 4)


def test_gc_0_gives_ghost_norm():
    layer = norm_of(params(gc=0))(6)
    assert isinstance(layer, GhostNorm)
    assert (layer.num_channels, layer.gm) == (6, 4)


def test_the_variant_none_gives_layers_that_do_nothing():
    layer = norm_of(params(gm=0, gc=0, normalize=False))(6)
    x = torch.randn(3, 6)
    assert layer(x) is x


def test_gm_counts_per_device_of_the_recipe():
    eight = params(numbers=DigitsNumbers(devices=8))
    assert norm_of(eight)(6).gm == 32
    assert norm_of(replace(eight, gc=0))(6).gm == 32
    assert norm_of(eight, real_devices=2)(6).gm == 16


def test_a_network_normalizes_before_each_nonlinearity():
    network = mlp(12, (8, 6), 3, norm_of(params()))
    kinds = [type(layer) for layer in network]
    hidden = [nn.Linear, SeqNorm, nn.ReLU]
    assert kinds == [nn.Flatten, *hidden, *hidden, nn.Linear]
    assert network(torch.randn(8, 3, 4)).shape == (8, 3)


@pytest.mark.parametrize("name", ["digits-mlp", "mnist-simplenet"])
def test_a_descriptor_states_the_widths_that_its_trial_normalizes(name, tmp_path):
    recipe = find(name)
    numbers = recipe.with_overrides({"epochs": 1})
    widths = []
    seen = nn.modules.module.register_module_module_registration_hook(
        lambda module, name, child: widths.append(child.num_channels) if isinstance(child, GhostNorm) else None
    )
    data = resolve(recipe.load)(numbers, None, tmp_path)
    with seen:
        resolve(recipe.run)(Params(gm=4, gc=0, seed=0, numbers=numbers, data=data), lambda **figures: None)
    assert tuple(widths) == recipe.widths(numbers)
