"""Layers that are referred to more than once stay one layer, and every reference sees the new norm."""

import copy
import weakref
from functools import partial

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from seqnorm import BatchNorm, GhostNorm, SeqNorm, convert

GHOST = partial(GhostNorm, gm=2)
SEQ = partial(SeqNorm, gc=2, gm=2)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def twice_in_a_sequence(bn):
    return nn.Sequential(bn, nn.ReLU(), bn)


def thrice_in_a_list(bn):
    return nn.ModuleList([bn] * 3)


def under_an_alias(bn):
    model = nn.Sequential(nn.Conv2d(8, 8, 1), bn)
    model.alias = bn
    return model


def in_two_containers(bn):
    return nn.ModuleDict({"one": bn, "two": nn.Sequential(nn.Sequential(bn), bn)})


def in_two_blocks_of_which_one_is_shared(bn):
    block = nn.Sequential(bn, nn.ReLU(), bn)
    return nn.Sequential(block, nn.Sequential(block, bn))


@pytest.mark.parametrize("norm", [GHOST, SEQ], ids=["ghost", "seq"])
@pytest.mark.parametrize(
    ("build", "paths"),
    [
        (twice_in_a_sequence, ("0", "2")),
        (thrice_in_a_list, ("0", "1", "2")),
        (under_an_alias, ("1", "alias")),
        (in_two_containers, ("one", "two.0.0", "two.1")),
        (in_two_blocks_of_which_one_is_shared, ("0.0", "0.2", "1.0.0", "1.0.2", "1.1")),
    ],
)
def test_every_path_to_a_shared_layer_leads_to_one_new_layer(build, paths, norm):
    model = build(nn.BatchNorm2d(8))
    report = convert(model, norm)
    assert report.swapped == paths
    assert report.kept == {}
    assert len({model.get_submodule(path) for path in paths}) == 1
    assert type(model.get_submodule(paths[0])) is norm.func
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in model.modules())


def test_a_shared_layer_computes_and_collects_as_it_did():
    theirs = nn.Sequential(nn.Linear(3, 8), nn.ReLU())
    bn = nn.BatchNorm1d(8)
    theirs = nn.Sequential(theirs, bn, nn.Linear(8, 8), bn)
    ours = convert(copy.deepcopy(theirs), BatchNorm).model
    x = draw(6, 3)
    assert_close(ours(x), theirs(x))
    assert_close(ours.state_dict(), theirs.state_dict())


class Holder(nn.Module):
    """Refers to a registered layer in ways that torch does not know of."""

    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm2d(8)
        self.stages = [self.bn]
        self.by_name = {"first": (self.bn,)}
        self.later = lambda x: self.bn(x)
        bn = self.bn
        self.closed_over = lambda x: bn(x)
        self.weak = weakref.ref(bn)


def test_lists_closures_and_weak_references_to_a_layer_see_the_new_norm():
    model = Holder()
    assert convert(model, SEQ).swapped == ("bn",)
    assert isinstance(model.bn, SeqNorm)
    assert model.stages[0] is model.by_name["first"][0] is model.weak() is model.bn
    x = draw(4, 8, 2, 2)
    model.eval()
    assert torch.equal(model.closed_over(x), model.bn(x))


def test_tied_parameters_of_two_layers_stay_tied():
    model = nn.Sequential(nn.BatchNorm1d(4), nn.BatchNorm1d(4))
    model[1].weight = model[0].weight
    convert(model, SEQ)
    assert model[1].weight is model[0].weight
    assert model[1].bias is not model[0].bias


def test_layers_that_only_a_plain_list_holds_are_named_and_left_alone():
    model = nn.Sequential(nn.BatchNorm2d(8))
    model.blocks = [nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8))]
    model.heads = {"main": nn.BatchNorm1d(8)}
    report = convert(model, GHOST)
    reason = "a plain list, tuple or dict holds it, where torch does not look: use nn.ModuleList or nn.ModuleDict"
    assert report.swapped == ("0",)
    assert report.kept == {"blocks.0.1": reason, "heads.main": reason}
    assert isinstance(model.blocks[0][1], nn.BatchNorm2d)


def test_a_norm_that_is_several_layers_is_one_in_the_report():
    model = nn.Sequential(nn.BatchNorm2d(8), nn.BatchNorm2d(8))
    report = convert(model, lambda width: nn.Sequential(nn.GroupNorm(2, width), nn.BatchNorm2d(width)))
    assert report.swapped == ("0", "1")
    assert report.kept == {}
    assert isinstance(model[0][1], nn.BatchNorm2d)


def test_torchs_own_batch_norm_can_be_the_norm_and_keeps_the_statistics():
    model = nn.Sequential(nn.SyncBatchNorm(8))
    model[0].running_mean.fill_(5)
    assert convert(model, nn.BatchNorm2d).swapped == ("0",)
    assert type(model[0]) is nn.BatchNorm2d
    assert model[0].running_mean.eq(5).all()
