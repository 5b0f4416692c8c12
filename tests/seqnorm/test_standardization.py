"""Weight standardisation against its equation (Qiao et al., 2019)."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from seqnorm import standardize_weights


def literal(weight, eps=1e-5):
    rows = []
    for w in weight:
        mean = w.sum() / w.numel()
        var = ((w - mean) ** 2).sum() / w.numel()
        rows.append((w - mean) / torch.sqrt(var + eps))
    return torch.stack(rows)


@pytest.mark.parametrize(
    "layer", [nn.Linear(5, 3), nn.Conv1d(2, 3, 2), nn.Conv2d(2, 3, 2), nn.Conv3d(2, 3, 2), nn.Conv2d(4, 4, 3, groups=2)]
)
def test_a_layer_computes_with_the_standardized_weight(layer):
    layer = layer.double()
    learned = layer.weight.detach().clone()
    assert standardize_weights(layer) == ("",)
    assert_close(layer.weight, literal(learned))
    assert_close(layer.parametrizations.weight.original, learned)


def test_gradients_reach_the_learned_weight_as_through_the_equation():
    layer, x = nn.Linear(5, 3).double(), torch.randn(4, 5).double()
    original = layer.weight.detach().clone().requires_grad_()
    standardize_weights(layer)
    layer(x).square().sum().backward()
    (x @ literal(original).T + layer.bias).square().sum().backward()
    assert_close(layer.parametrizations.weight.original.grad, original.grad)


def test_every_linear_and_conv_layer_of_a_model_is_standardized_and_named():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.Flatten(), nn.Linear(4, 2)))
    assert standardize_weights(model) == ("0", "2.1")


def test_a_weight_with_one_input_is_left_alone():
    model = nn.Conv2d(4, 4, 1, groups=4)
    before = model.weight.detach().clone()
    assert standardize_weights(model) == ()
    assert model.weight.equal(before)


def test_standardizing_twice_is_standardizing_once():
    layer = nn.Linear(5, 3)
    standardize_weights(layer)
    assert standardize_weights(layer) == ()
    assert len(layer.parametrizations.weight) == 1
