"""Layers that another norm cannot replace are kept and named, with the reason."""

import copy
import warnings
from functools import partial, partialmethod

import pytest
import timm
import torch
import torchvision
from timm.layers import SplitBatchNorm2d, convert_sync_batchnorm, freeze_batch_norm_2d
from timm.layers.inplace_abn import InplaceAbn
from torch import nn
from torch.ao.nn.intrinsic.qat import ConvBn2d
from torch.ao.nn.quantized import BatchNorm2d as QuantizedBatchNorm2d
from torch.ao.quantization import get_default_qat_qconfig
from torch.nn.utils import parametrizations, parametrize, prune
from torch.testing import assert_close

from seqnorm import BatchNorm, GhostNorm, SeqNorm, convert

GHOST = partial(GhostNorm, gm=2)
SEQ = partial(SeqNorm, gc=2, gm=2)
BY_HAND = "swap it by hand"


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def kept(layer):
    """Convert a model in which this layer comes second; return the reasons, and check that the layer is as it was."""
    before, kind = copy.deepcopy(dict(layer.state_dict())), type(layer)
    model = nn.Sequential(nn.BatchNorm2d(8), layer)
    report = convert(model, SEQ)
    assert report.swapped == ("0",)
    assert model[1] is layer
    assert type(layer) is kind
    assert_close(dict(layer.state_dict()), before)
    return report.kept


def pruned():
    return prune.random_unstructured(nn.BatchNorm2d(8), "weight", 0.5)


def pruned_bias():
    return prune.l1_unstructured(nn.BatchNorm2d(8), "bias", 2)


def weight_normed():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.weight_norm(nn.BatchNorm2d(8))


class Positive(nn.Module):
    def forward(self, weight):
        return weight.exp()


def parametrized():
    layer = nn.BatchNorm2d(8)
    parametrize.register_parametrization(layer, "weight", Positive())
    return layer


def weight_normed_by_parametrization():
    return parametrizations.weight_norm(nn.BatchNorm2d(8))


@pytest.mark.parametrize(
    ("layer", "computed", "remedy"),
    [
        (pruned, "weight is computed from weight_mask, weight_orig", "prune.remove"),
        (pruned_bias, "bias is computed from bias_mask, bias_orig", "prune.remove"),
        (weight_normed, "weight is computed from weight_g, weight_v", "remove_weight_norm"),
        (parametrized, "weight is parametrized", "remove_parametrizations"),
        (weight_normed_by_parametrization, "weight is parametrized", "remove_parametrizations"),
    ],
)
def test_a_layer_whose_weight_is_computed_is_kept_with_what_to_call(layer, computed, remedy):
    (reason,) = kept(layer()).values()
    assert computed in reason
    assert remedy in reason


def test_once_pruning_is_permanent_the_layer_is_swapped_with_its_zeros():
    layer = prune.remove(pruned(), "weight")
    model = convert(nn.Sequential(layer), SEQ).model
    assert isinstance(model[0], SeqNorm)
    assert model[0].weight.eq(0).sum() == 4


class Frozen(nn.BatchNorm2d):
    def train(self, mode=True):
        return super().train(False)


class Renamed(nn.BatchNorm2d):
    def _check_input_dim(self, input):
        pass

    def extra_repr(self):
        return "mine"


def test_a_subclass_that_overrides_more_than_a_check_is_kept():
    assert kept(Frozen(8)) == {"1": f"Frozen does more than normalize: {BY_HAND}"}
    assert convert(nn.Sequential(Renamed(8)), GHOST).swapped == ("0",)


class ByPartialMethod(nn.BatchNorm2d):
    def scaled(self, input, factor):
        return factor * super().forward(input)

    forward = partialmethod(scaled, factor=2)


class Doubling:
    def __get__(self, layer, owner):
        return lambda input: 2 * nn.BatchNorm2d.forward(layer, input)


class ByDescriptor(nn.BatchNorm2d):
    forward = Doubling()


class ByCallable(nn.BatchNorm2d):
    forward = nn.Identity()


class WithComputedEps(nn.BatchNorm2d):
    eps = property(lambda self: 1e-2 if self.training else 1e-5, lambda self, eps: None)


@pytest.mark.parametrize("cls", [ByPartialMethod, ByDescriptor, ByCallable, WithComputedEps])
def test_what_is_computed_by_something_else_than_a_plain_function_is_kept(cls):
    assert kept(cls(8)) == {"1": f"{cls.__name__} does more than normalize: {BY_HAND}"}


class ByShape(nn.Module):
    """A norm with a weight of every dimension of an image."""

    def __init__(self, num_channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, num_channels, 1, 1))

    def forward(self, input):
        return self.weight * input


@pytest.mark.parametrize(
    ("norm", "reason"),
    [
        (ByShape, "its weight has the shape (8,), and that of a ByShape (1, 8, 1, 1): swap it by hand"),
        (
            lambda width: nn.LayerNorm([width, 2, 2]),
            "its weight has the shape (8,), and that of a LayerNorm (8, 2, 2): swap it by hand",
        ),
    ],
)
def test_a_norm_whose_weight_has_another_shape_does_not_take_a_weight_that_it_cannot_use(norm, reason):
    layer = nn.BatchNorm2d(8)
    with pytest.warns(UserWarning, match="no BatchNorm of this Sequential was swapped"):
        report = convert(nn.Sequential(layer), norm)
    assert report.kept == {"0": reason}


class Slotted(nn.BatchNorm2d):
    __slots__ = ("stage",)


@pytest.mark.parametrize("norm", [GHOST, SEQ, nn.Identity])
def test_a_layer_whose_class_python_cannot_change_is_kept_and_the_others_are_converted(norm):
    model = nn.Sequential(nn.BatchNorm2d(8), Slotted(8), nn.BatchNorm2d(8))
    model[1].stage = "encoder"
    report = convert(model, norm)
    assert report.swapped == ("0", "2")
    assert report.kept["1"].startswith("Python cannot turn a Slotted into a ")
    assert model[1].stage == "encoder"
    assert model(draw(4, 8, 2, 2)).shape == (4, 8, 2, 2)


class Policy(nn.Module):
    """A policy that normalizes its observations with statistics of its own, as in reinforcement learning."""

    def __init__(self):
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(8))
        self.body = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))


def test_a_model_with_a_running_mean_of_its_own_is_converted_inside():
    report = convert(Policy(), SEQ)
    assert report.swapped == ("body.1",)
    assert report.kept == {"": f"Policy is not a torch.nn.BatchNorm: {BY_HAND}"}
    inside = convert(nn.Sequential(Policy(), SplitBatchNorm2d(8)), SEQ)
    assert inside.swapped == ("0.body.1",)
    assert list(inside.kept) == ["0", "1", "1.aux_bn.0"]


def replaced_forward():
    layer = nn.BatchNorm2d(8)
    forward = layer.forward
    layer.forward = lambda input: 2 * forward(input)
    return layer


def replaced_train():
    layer = nn.BatchNorm2d(8).eval()
    layer.train = lambda mode=True: layer
    return layer


@pytest.mark.parametrize(("build", "name"), [(replaced_forward, "forward"), (replaced_train, "train")])
def test_a_layer_with_a_method_of_its_own_is_kept(build, name):
    layer = build()
    method = vars(layer)[name]
    report = convert(nn.Sequential(nn.BatchNorm2d(8), layer), SEQ)
    assert report.kept == {"1": f"its {name} was replaced on this one layer: {BY_HAND}"}
    assert vars(layer)[name] is method


def test_statistics_that_were_fixed_later_are_kept_fixed():
    layer = nn.BatchNorm2d(8)
    layer(draw(4, 8, 2, 2))
    layer.track_running_stats = False
    (reason,) = kept(layer).values()
    assert reason.startswith("its running statistics are fixed, because track_running_stats was set to False")


def test_a_layer_without_statistics_is_swapped_whenever_they_were_removed():
    layer = nn.BatchNorm2d(8)
    layer.track_running_stats = False
    layer.running_mean = layer.running_var = layer.num_batches_tracked = None
    model = convert(nn.Sequential(layer), GHOST).model
    assert model[0].running_mean is None
    model.eval()(draw(4, 8, 2, 2))


def test_a_layer_with_half_of_its_statistics_is_kept():
    layer = nn.BatchNorm2d(8)
    layer.running_var = None
    (reason,) = convert(nn.Sequential(nn.BatchNorm2d(8), layer), GHOST).kept.values()
    assert reason.startswith("it has only one of running_mean and running_var")


def test_a_backward_hook_of_the_old_kind_keeps_a_layer_and_one_of_the_new_does_not():
    layer = nn.BatchNorm2d(8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layer.register_backward_hook(lambda *_: None)
    assert "register_full_backward_hook" in kept(layer)["1"]


def scripted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8, track_running_stats=False)).eval())


def traced():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8)).eval(), draw(2, 8, 3, 3))


@pytest.mark.parametrize("build", [scripted, traced])
def test_the_layers_of_a_compiled_model_are_kept(build):
    assert kept(build()) == {
        "1.1": "this BatchNorm2d is compiled by torch.jit: convert the model before it is scripted or traced"
    }


def test_an_exported_graph_is_named():
    exported = torch.export.export(nn.Sequential(nn.BatchNorm2d(8)).eval(), (draw(2, 8, 3, 3),)).module()
    with pytest.warns(UserWarning, match="convert the model before torch.export"):
        assert list(convert(exported, GHOST).kept) == ["0"]


def test_a_model_inside_distributed_data_parallel_is_named(tmp_path):
    torch.distributed.init_process_group("gloo", f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        model = nn.parallel.DistributedDataParallel(nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8)))
        with pytest.warns(UserWarning, match="convert the model before it is wrapped"):
            assert list(convert(model, SEQ).kept) == ["module.1"]
        assert convert(model.module, GHOST).swapped == ("1",)
        with pytest.warns(UserWarning, match="convert the model before it is wrapped"):
            assert list(convert(model, nn.BatchNorm1d).kept) == ["module.1"]
    finally:
        torch.distributed.destroy_process_group()


def test_timms_split_batch_norm_is_kept_whole():
    assert kept(SplitBatchNorm2d(8, num_splits=3)) == {
        "1": f"SplitBatchNorm2d does more than normalize: {BY_HAND}",
        "1.aux_bn.0": "part of 1, which is kept",
        "1.aux_bn.1": "part of 1, which is kept",
    }


class Renorm(nn.Module):
    """The tensors of a BatchNorm under another name, as in detectron2, apex or one's own code."""

    def __init__(self):
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(8))
        self.register_buffer("running_std", torch.ones(8))


class BatchNormByHand(nn.Module):
    """A BatchNorm by its name only."""


@pytest.mark.parametrize(
    "layer",
    [torchvision.ops.FrozenBatchNorm2d(8), InplaceAbn(8), Renorm(), BatchNormByHand()],
    ids=lambda layer: type(layer).__name__,
)
def test_batch_norms_that_are_not_torchs_are_named(layer):
    assert kept(layer) == {"1": f"{type(layer).__name__} is not a torch.nn.BatchNorm: {BY_HAND}"}


def test_quantized_and_lazy_layers_are_named():
    assert kept(QuantizedBatchNorm2d(8))["1"].startswith("this BatchNorm2d has scale, zero_point too")
    layer = nn.LazyBatchNorm2d()
    assert convert(nn.Sequential(nn.BatchNorm2d(8), layer), SEQ).kept["1"].startswith("its width is not known yet")
    assert type(layer) is nn.LazyBatchNorm2d


def test_a_batch_norm_inside_a_layer_that_computes_with_it_is_kept():
    layer = ConvBn2d(8, 8, 1, qconfig=get_default_qat_qconfig())
    reason = "ConvBn2d computes with its weight and statistics: convert the model before it is fused"
    assert kept(layer) == {"1.bn": reason}


def test_a_layer_shared_with_one_that_is_kept_is_kept_at_every_path():
    split = SplitBatchNorm2d(8)
    model = nn.Sequential(nn.BatchNorm2d(8), split.aux_bn[0], split)
    report = convert(model, GHOST)
    assert report.swapped == ("0",)
    assert list(report.kept) == ["1", "2", "2.aux_bn.0"]
    assert model[1] is split.aux_bn[0]
    assert type(model[1]) is nn.BatchNorm2d


def test_torchs_instance_norm_is_no_batch_norm():
    model = nn.Sequential(nn.BatchNorm2d(8), nn.InstanceNorm2d(8, track_running_stats=True))
    assert convert(model, GHOST).kept == {}


def test_a_frozen_model_of_timm_is_named_layer_by_layer():
    model = freeze_batch_norm_2d(timm.create_model("mobilenetv3_small_050", num_classes=3))
    message = r"no BatchNorm of this MobileNetV3 was swapped. bn1: FrozenBatchNormAct2d is not a .*; and 31 more$"
    with pytest.warns(UserWarning, match=message):
        report = convert(model, GHOST)
    assert len(report.kept) == 34
    assert str(report).startswith("0 of 34 BatchNorm layers swapped\nkept bn1: FrozenBatchNormAct2d is not a torch.nn")


def test_timms_synchronized_layers_are_swapped_with_their_activation_and_a_note():
    theirs = timm.create_model("mobilenetv3_small_050", num_classes=3)
    ours = convert_sync_batchnorm(copy.deepcopy(theirs))
    report = convert(ours, BatchNorm)
    assert report.kept == {}
    assert report.notes == ("statistics are no longer synchronized over devices: gm counts groups on each device",)
    x = draw(2, 3, 32, 32)
    assert_close(ours.eval()(x), theirs.eval()(x))


def test_children_that_a_layer_holds_and_does_not_call_are_not_called_afterwards_either():
    theirs = nn.SyncBatchNorm.convert_sync_batchnorm(timm.layers.BatchNormAct2d(8)).eval()  # drops the activation
    x = draw(2, 8, 3, 3)
    expected = theirs(x)
    assert_close(convert(theirs, BatchNorm).model(x), expected)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Linear(3, 3), "no BatchNorm was found in this Linear. Looked for torch.nn.BatchNorm1d, 2d, 3d, "),
        (
            nn.Sequential(SeqNorm(8, gc=2, gm=2), GhostNorm(8, gm=2)),
            "no BatchNorm was found in this Sequential; it has 2 layers of seqnorm already, which convert does not",
        ),
    ],
)
def test_nothing_to_convert_is_a_warning_with_what_was_looked_for(model, message):
    with pytest.warns(UserWarning, match="^no BatchNorm was found in this") as caught:
        report = convert(model, GHOST)
    assert str(caught[0].message).startswith(message)
    assert caught[0].filename == __file__
    assert str(report) == "0 of 0 BatchNorm layers swapped"


@pytest.mark.parametrize(
    ("model", "norm", "message"),
    [
        ([nn.BatchNorm2d(8)], GHOST, "model must be a torch.nn.Module: got a list. Pass the model itself."),
        (nn.BatchNorm2d(8), GhostNorm(8, gm=2), "norm must make a layer for a number of channels: got a GhostNorm."),
        (nn.BatchNorm2d(8), lambda width: None, "norm must return a torch.nn.Module: got a NoneType."),
        (
            nn.Sequential(nn.BatchNorm2d(8), nn.BatchNorm2d(8)),
            lambda width, layer=GhostNorm(8, gm=2): layer,
            "norm must make a new layer at each call: got the same GhostNorm again.",
        ),
    ],
)
def test_what_is_no_model_or_makes_no_norm_is_refused_and_nothing_changes(model, norm, message):
    with pytest.raises(TypeError) as refused:
        convert(model, norm)
    assert str(refused.value).startswith(message)
    layers = model if isinstance(model, list) else model.modules()
    assert any(type(layer) is nn.BatchNorm2d for layer in layers)
