"""``convert`` on torchvision's and timm's models and on one's own."""

import copy
import pickle
from functools import partial

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.testing import assert_close

from seqnorm import BatchNorm, GhostNorm, SeqNorm, convert

GHOST = partial(GhostNorm, gm=2)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def trained(model, *shape):
    """Move weights and running statistics away from where they start."""
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                nn.init.normal_(layer.weight, 1, 0.1)
                nn.init.normal_(layer.bias, 0, 0.1)
    model(draw(*shape))
    return model


@pytest.fixture(scope="module")
def resnet():
    return trained(torchvision.models.resnet18(num_classes=10), 4, 3, 32, 32)


def test_every_batch_norm_of_a_torchvision_model_is_swapped_under_its_own_name(resnet):
    model = copy.deepcopy(resnet)
    names = [name for name, layer in model.named_modules() if isinstance(layer, nn.BatchNorm2d)]
    report = convert(model, partial(SeqNorm, gc=4, gm=2))
    assert list(report.swapped) == names
    assert report.kept == {}
    assert all(isinstance(model.get_submodule(name), SeqNorm) for name in names)
    assert model.state_dict().keys() == resnet.state_dict().keys()
    assert str(report).splitlines()[0] == "20 of 20 BatchNorm layers swapped"


def test_weights_stay_the_same_objects_so_that_an_optimizer_still_trains_them(resnet):
    model = copy.deepcopy(resnet)
    before = dict(model.named_parameters())
    convert(model, partial(SeqNorm, gc=4, gm=2))
    after = dict(model.named_parameters())
    assert all(after[name] is parameter for name, parameter in before.items())


def test_one_group_is_the_model_as_it_was(resnet):
    model = convert(copy.deepcopy(resnet), BatchNorm).model
    x = draw(4, 3, 32, 32, seed=1)
    assert_close(model.eval()(x), copy.deepcopy(resnet).eval()(x))
    assert_close(model.train()(x), copy.deepcopy(resnet).train()(x))


def test_ghost_norm_evaluates_as_the_model_did(resnet):
    x = draw(3, 3, 32, 32, seed=1)
    assert_close(convert(copy.deepcopy(resnet), GHOST).model.eval()(x), copy.deepcopy(resnet).eval()(x))


def test_running_statistics_start_afresh_in_a_seq_norm_where_they_mean_something_else(resnet):
    model = convert(copy.deepcopy(resnet), partial(SeqNorm, gc=4, gm=2)).model
    assert model.bn1.running_mean.eq(0).all()
    assert model.bn1.num_batches_tracked == 0


def test_layers_too_narrow_for_the_groups_are_kept_and_named(resnet):
    model = copy.deepcopy(resnet)
    report = convert(model, partial(SeqNorm, gc=128, gm=2))
    narrow = [name for name, layer in resnet.named_modules() if getattr(layer, "num_features", 128) < 128]
    assert list(report.kept) == narrow
    assert report.kept["bn1"] == (
        "gc must divide the channels: got gc=128 for 64 channels. "
        "Choose a divisor, or use GhostNorm for no GroupNorm half."
    )
    assert isinstance(model.bn1, nn.BatchNorm2d)
    assert isinstance(model.layer2[0].bn1, SeqNorm)
    assert str(report).splitlines()[:2] == [
        "15 of 20 BatchNorm layers swapped",
        f"kept bn1: {report.kept['bn1']}",
    ]


def test_the_report_says_what_to_know_before_training_and_evaluating(resnet):
    drop_last = (
        "in training a batch must be a multiple of gm=2: let the loader drop the last, smaller one (drop_last=True), "
        "or give the norm uneven='unequal' or 'single'"
    )
    afresh = (
        "running statistics start afresh, as those of a SeqNorm are of another quantity: "
        "train, or call seqnorm.update_statistics, before evaluating"
    )
    untrained = torchvision.models.resnet18()
    assert convert(copy.deepcopy(resnet), partial(SeqNorm, gc=4, gm=2)).notes == (drop_last, afresh)
    assert convert(untrained, partial(SeqNorm, gc=4, gm=2)).notes == (drop_last,)
    assert convert(copy.deepcopy(resnet), GHOST).notes == (drop_last,)
    report = convert(copy.deepcopy(resnet), BatchNorm)
    assert report.notes == ()
    assert str(report) == "20 of 20 BatchNorm layers swapped"


def test_a_converted_model_trains(resnet):
    model = convert(copy.deepcopy(resnet), partial(SeqNorm, gc=4, gm=2)).model
    model(draw(4, 3, 32, 32)).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_timms_layers_keep_the_activation_they_carry():
    theirs = trained(timm.create_model("efficientnet_b0", num_classes=5), 4, 3, 32, 32)
    model = copy.deepcopy(theirs)
    report = convert(model, BatchNorm)
    assert len(report.swapped) == 49
    assert report.kept == {}
    assert model.state_dict().keys() == theirs.state_dict().keys()
    x = draw(4, 3, 32, 32, seed=1)
    assert_close(model.eval()(x), theirs.eval()(x))
    loaded = pickle.loads(pickle.dumps(copy.deepcopy(model)))
    assert_close(loaded(x), model(x))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(nn.BatchNorm1d(4), (4, 4)), (nn.BatchNorm3d(4), (4, 4, 2, 2, 2)), (nn.SyncBatchNorm(4), None)],
    ids=["1d", "3d", "sync"],
)
def test_every_kind_of_batch_norm_is_swapped_even_where_it_is_the_model(layer, shape):
    report = convert(layer, GHOST)
    assert isinstance(report.model, GhostNorm)
    assert report.swapped == ("",)
    if shape:
        assert report.model(draw(*shape)).shape == shape


def test_eps_momentum_dtype_and_mode_are_carried_over():
    layer = nn.BatchNorm2d(4, eps=1e-3, momentum=None).double().eval()
    new = convert(layer, GHOST).model
    assert (new.eps, new.momentum, new.weight.dtype, new.running_var.dtype) == (1e-3, None, *[torch.float64] * 2)
    assert not new.training


@pytest.mark.parametrize("norm", [GHOST, partial(SeqNorm, gc=2, gm=2)])
def test_what_a_layer_does_not_have_its_successor_does_not_have(norm):
    new = convert(nn.BatchNorm2d(4, affine=False, track_running_stats=False), norm).model
    assert dict(new.state_dict()) == {}


def test_what_the_caller_says_goes_before_what_the_layer_had():
    said = partial(GhostNorm, gm=2, eps=1e-3, momentum=None, affine=False, track_running_stats=False)
    new = convert(nn.BatchNorm2d(4), said).model
    assert (new.eps, new.momentum, dict(new.state_dict())) == (1e-3, None, {})


@pytest.mark.parametrize(
    "norm", [lambda width: SeqNorm(width, gc=2, gm=2, eps=1e-3, momentum=0.2), nn.Identity], ids=["lambda", "none"]
)
def test_a_plain_function_can_give_settings_too(norm):
    new = convert(nn.BatchNorm2d(4, eps=1e-4, momentum=0.3), norm).model
    assert [getattr(new, name, None) for name in ("eps", "momentum")] in ([1e-3, 0.2], [None, None])


def test_statistics_keep_their_own_dtype_in_a_model_of_half_precision():
    layer = nn.BatchNorm2d(4)
    layer.weight.data, layer.bias.data = layer.weight.data.bfloat16(), layer.bias.data.bfloat16()
    new = convert(layer, partial(SeqNorm, gc=2, gm=2)).model
    assert (new.weight.dtype, new.running_var.dtype) == (torch.bfloat16, torch.float32)


def test_a_norm_with_a_weight_only_gets_no_bias_that_it_would_not_use():
    new = convert(nn.BatchNorm2d(4), nn.RMSNorm).model
    assert [name for name, _ in new.named_parameters()] == ["weight"]


def test_a_batch_norm_without_a_bias_stays_without_one():
    theirs = nn.BatchNorm1d(4, bias=False)
    ours = convert(copy.deepcopy(theirs), BatchNorm).model
    assert ours.bias is None
    x = draw(6, 4)
    assert_close(ours(x), theirs(x))


@pytest.mark.parametrize(
    ("norm", "kept"),
    [
        (partial(SeqNorm, gc=2, gm=2, ghost_first=True), True),
        (partial(GhostNorm, gm=2, shared_var=True), False),
        (partial(SeqNorm, gc=2, gm=2), False),
    ],
)
def test_running_statistics_are_kept_where_they_are_of_each_channel_of_the_input(norm, kept):
    layer = nn.BatchNorm2d(4)
    layer.running_mean.fill_(5)
    assert convert(layer, norm).model.running_mean.eq(5).all() == kept


def test_a_block_used_twice_is_swapped_once():
    block = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
    model = nn.Sequential(block, nn.ReLU(), block)
    assert convert(model, GHOST).swapped == ("0.1", "2.1")
    assert isinstance(block[1], GhostNorm)
    assert model[0] is model[2]


def test_a_layer_used_at_two_places_stays_one_layer():
    shared = nn.BatchNorm1d(4)
    model = nn.ModuleDict({"one": shared, "two": nn.Sequential(shared)})
    assert convert(model, GHOST).swapped == ("one", "two.0")
    assert model["one"] is model["two"][0]
    assert isinstance(model["one"], GhostNorm)


class Doubled(nn.BatchNorm1d):
    def __init__(self, num_features):
        super().__init__(num_features)
        self.act = nn.ReLU()  # the name that timm's layers use

    def forward(self, input):
        return 2 * super().forward(self.act(input))


def test_an_heir_that_does_more_and_a_layer_without_a_width_are_kept_with_the_reason():
    report = convert(nn.Sequential(Doubled(4), nn.LazyBatchNorm1d(), nn.BatchNorm1d(4)), GHOST)
    assert report.swapped == ("2",)
    assert report.kept == {
        "0": "Doubled does more than normalize: swap it by hand",
        "1": "its width is not known yet: run the model once, then convert",
    }


def test_another_librarys_norm_can_take_the_place_too():
    layer = nn.BatchNorm2d(4)
    new = convert(layer, lambda num_channels: nn.GroupNorm(2, num_channels)).model
    assert isinstance(new, nn.GroupNorm)
    assert new.weight is layer.weight
