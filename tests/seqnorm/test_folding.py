"""Folding norms into the layer before them: exact for GhostNorm, refused for SeqNorm; graphs of ``torch.fx``."""

import copy
import pickle
from functools import partial

import numpy as np
import pytest
import timm
import torch
import torchvision
from timm.utils.model import reparameterize_model
from torch import fx, nn
from torch.fx.experimental.optimization import fuse
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_conv_bn_weights, fuse_linear_bn_eval
from torch.testing import assert_close
from torchvision.models.feature_extraction import create_feature_extractor

from seqnorm import GhostNorm, GroupNorm, NoisyBatchNorm, NoisySeqNorm, SeqNorm, convert

GHOST = partial(GhostNorm, gm=2)
SEQ = partial(SeqNorm, gc=2, gm=2)
REFUSAL = "a SeqNorm cannot be folded into the layer before it: its GroupNorm half depends on each sample"


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def trained(model, *shape):
    """Move weights and statistics away from where they start; return the model in evaluation mode."""
    torch.manual_seed(1)
    for layer in model.modules():
        if getattr(layer, "running_mean", None) is not None:
            nn.init.normal_(layer.weight, 1, 0.1)
            nn.init.normal_(layer.bias, 0, 0.1)
    for seed in range(3):
        model.train()(draw(*shape, seed=seed))
    return model.eval()


def by_hand(conv, norm):
    """As in RepVGG, LeViT and YOLO."""
    factor = norm.weight / (norm.running_var + norm.eps).sqrt()
    return conv.weight * factor.view(-1, 1, 1, 1)


def by_hand_in_reverse(conv, norm):
    return torch.diag(norm.weight.div(torch.sqrt(norm.eps + norm.running_var))) @ conv.weight.flatten(1)


def by_weights(conv, norm):
    return fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )


def by_arrays(conv, norm):
    return conv.weight.detach().numpy() / np.sqrt(norm.running_var.numpy() + norm.eps)[:, None, None, None]


def by_arrays_in_reverse(conv, norm):
    return conv.bias.detach().numpy() / np.sqrt(np.add(norm.eps, norm.running_var.numpy()))


def by_arrays_in_place(conv, norm):
    var = norm.running_var.double().numpy()
    var += norm.eps
    return var


@pytest.mark.parametrize(
    "fuser",
    [
        *(fuse_conv_bn_eval, by_weights, by_hand, by_hand_in_reverse),
        *(by_arrays, by_arrays_in_reverse, by_arrays_in_place),
    ],
)
@pytest.mark.parametrize(
    "norm",
    [SEQ, partial(SEQ, ghost_first=True), partial(SEQ, shared_var=True), partial(NoisySeqNorm, sigma=0.1, gc=2, gm=2)],
)
def test_no_fuser_folds_a_seq_norm_into_a_convolution(norm, fuser):
    conv, layer = trained(nn.Sequential(nn.Conv2d(3, 8, 3), norm(8)), 4, 3, 5, 5)
    with pytest.raises(ValueError, match=REFUSAL):
        fuser(conv, layer)


def test_a_seq_norm_that_was_pickled_with_its_eps_as_an_attribute_still_loads():
    state = vars(SeqNorm(8, gc=2, gm=2))
    del state["plain_eps"]
    layer = SeqNorm.__new__(SeqNorm)
    layer.__setstate__({"eps": 1e-3, **state})
    x = draw(4, 8, 3, 3)
    assert_close(layer(x), SeqNorm(8, gc=2, gm=2, eps=1e-3)(x), rtol=0, atol=0)


def test_nor_into_a_linear_layer():
    linear, layer = trained(nn.Sequential(nn.Linear(3, 8), SEQ(8)), 4, 3)
    with pytest.raises(ValueError, match=REFUSAL):
        fuse_linear_bn_eval(linear, layer)


def test_the_eps_of_a_seq_norm_is_a_number_in_all_else():
    layer = SeqNorm(8, gc=2, gm=2, eps=1e-3)
    assert layer.eps == 1e-3
    assert layer.eps + 1 == 1.001
    assert f"{layer.eps:.0e}" == "1e-03"
    layer.eps = 1e-2
    assert pickle.loads(pickle.dumps(copy.deepcopy(layer))).eps == 1e-2
    x = draw(4, 8, 3, 3)
    assert_close(layer(x), SeqNorm(8, gc=2, gm=2, eps=1e-2)(x), rtol=0, atol=0)


@pytest.mark.parametrize(
    "norm",
    [GHOST, partial(GHOST, shared_var=True), partial(GHOST, running="pooled"), partial(NoisyBatchNorm, sigma=0.1)],
)
def test_a_ghost_norm_folds_exactly(norm):
    model = trained(nn.Sequential(nn.Conv2d(3, 8, 3), norm(8)), 4, 3, 5, 5)
    x = draw(2, 3, 5, 5, seed=9)
    assert_close(fuse_conv_bn_eval(*model)(x), model(x))
    model = trained(nn.Sequential(nn.Linear(3, 8), norm(8)), 4, 3)
    x = draw(2, 3, seed=9)
    assert_close(fuse_linear_bn_eval(*model)(x), model(x))


def test_timms_reparametrization_is_exact_with_ghost_norm_and_refused_with_seq_norm():
    levit = timm.create_model("levit_128s", num_classes=3)
    x = draw(2, 3, 224, 224)
    ghost = convert(copy.deepcopy(levit), GHOST).model.eval()
    assert_close(reparameterize_model(ghost)(x), ghost(x))
    with pytest.raises(ValueError, match=REFUSAL):
        reparameterize_model(convert(levit, SEQ).model.eval())


@pytest.mark.parametrize(
    "norm",
    [GHOST, partial(GHOST, shared_var=True), partial(GHOST, affine=False), partial(NoisyBatchNorm, sigma=0.1)],
    ids=["ghost", "shared variance", "no affine", "noisy"],
)
def test_ghost_norms_become_torchs_batch_norms_again_and_evaluate_as_they_did(norm):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), norm(8))
    for seed in range(3):
        model(draw(4, 3, 5, 5, seed=seed))
    model.eval()
    x = draw(2, 3, 5, 5, seed=9)
    expected = model(x)
    assert convert(model, nn.BatchNorm2d).swapped == ("1",)
    assert type(model[1]) is nn.BatchNorm2d
    assert_close(model(x), expected)
    fused = fuse(model)
    assert [type(layer) for layer in fused.children()] == [nn.Conv2d]
    assert_close(fused(x), expected)


class Anywhere(nn.BatchNorm2d):
    def _check_input_dim(self, input):
        pass


TO_TORCH = pytest.mark.parametrize(
    "norm", [nn.BatchNorm1d, nn.BatchNorm2d, partial(nn.BatchNorm2d, eps=1e-5)], ids=["1d", "2d", "partial"]
)


@TO_TORCH
def test_each_ghost_norm_becomes_the_batch_norm_that_it_was(norm):
    volumes = nn.Sequential(nn.Unflatten(1, (4, 2)), nn.Unflatten(2, (1, 1, 2)), nn.BatchNorm3d(4), nn.Flatten())
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(72, 8), nn.BatchNorm1d(8), volumes, Anywhere(8)
    )
    convert(model, GHOST)
    trained(model, 4, 3, 5, 5)
    x = draw(2, 3, 5, 5, seed=9)
    expected = model(x)
    assert convert(model, norm).swapped == ("1", "4", "5.2", "6")
    assert [type(model[index]) for index in (1, 4)] == [nn.BatchNorm2d, nn.BatchNorm1d]
    assert type(model[5][2]) is nn.BatchNorm3d
    loaded = pickle.loads(pickle.dumps(copy.deepcopy(model)))
    assert_close(loaded(x), expected)
    convert(model, GHOST)
    assert vars(model[1]).keys() == vars(model[6]).keys() == {*vars(GHOST(8)), "was"}
    assert_close(model(x), expected)


@TO_TORCH
@pytest.mark.parametrize("make", [GHOST, nn.SyncBatchNorm], ids=["ghost", "sync"])
@pytest.mark.parametrize("space", [(), (3,), (3, 3), (3, 3, 3)], ids=len)
def test_a_layer_that_was_no_batch_norm_of_a_dimension_accepts_them_all_afterwards(make, space, norm):
    model = trained(nn.Sequential(GHOST(8)), 4, 8, *space)
    layer = make(8).eval()
    layer.load_state_dict(model[0].state_dict())
    converted = convert(nn.Sequential(layer), norm).model
    assert isinstance(converted[0], (nn.BatchNorm1d, nn.BatchNorm2d))
    x = draw(2, 8, *space, seed=9)
    assert_close(pickle.loads(pickle.dumps(converted))(x), model(x))


@TO_TORCH
def test_batch_norms_of_torch_and_of_others_are_left_alone_on_the_way_back(norm):
    theirs = [nn.BatchNorm1d(8), nn.BatchNorm2d(8), torchvision.ops.FrozenBatchNorm2d(8), Anywhere(8)]
    model = nn.Sequential(*theirs, GHOST(8))
    kinds = [type(layer) for layer in theirs]
    report = convert(model, norm)
    assert (report.swapped, report.kept) == (("4",), {})
    assert [type(layer) for layer in theirs] == kinds
    with pytest.warns(UserWarning, match=r"^no GhostNorm or SyncBatchNorm was found in this Sequential: only these"):
        convert(model, norm)


def test_a_ghost_norm_leaves_nothing_of_itself_behind_but_what_people_have_added():
    layer = NoisyBatchNorm(8, sigma=0.1, gm=2, uneven="single")
    layer.stage = "encoder"
    convert(layer, nn.BatchNorm2d)
    assert vars(layer).keys() - vars(nn.BatchNorm2d(8)) == {"stage", "_check_input_dim"}


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")
def test_what_a_ghost_norm_became_can_be_scripted():
    model = trained(nn.Sequential(GHOST(8)), 4, 8)
    convert(model, nn.BatchNorm2d)
    x = draw(2, 8, seed=9)
    assert_close(torch.jit.script(model)(x), model(x))


class OfOnesOwn(nn.BatchNorm2d):
    """A BatchNorm that people want everywhere."""


def test_a_batch_norm_of_ones_own_replaces_those_of_torch_too():
    model = trained(nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8)), 4, 3)
    convert(model, GHOST)
    x = draw(2, 3, seed=9)
    expected = model(x)
    model.append(nn.BatchNorm2d(8))
    assert convert(model, OfOnesOwn).swapped == ("1", "2")
    assert [type(layer) for layer in model[1:]] == [OfOnesOwn, OfOnesOwn]
    assert_close(model[:2](x), expected)


def test_a_ghost_norm_that_a_plain_list_holds_is_named():
    model = nn.Sequential(GHOST(8))
    model.others = [GHOST(8), nn.BatchNorm2d(8)]
    (path,) = convert(model, nn.BatchNorm2d).kept
    assert path == "others.0"


def test_a_ghost_norm_that_was_patched_stays_and_is_named():
    layer = GHOST(8)
    layer.forward = lambda input: input
    report = convert(nn.Sequential(GHOST(8), layer), nn.BatchNorm2d)
    assert report.swapped == ("0",)
    assert report.kept == {"1": "its forward was replaced on this one layer: swap it by hand"}


def test_a_reparametrization_that_asks_for_torchs_class_is_exact_once_ghost_norms_are_batch_norms():
    model = timm.create_model("repghostnet_050", num_classes=3)
    model = trained(convert(model, GHOST).model, 4, 3, 32, 32)
    x = draw(2, 3, 32, 32, seed=9)
    expected = model(x)
    convert(model, nn.BatchNorm2d)
    assert_close(reparameterize_model(model)(x), expected, rtol=1e-4, atol=1e-4)


def test_seq_norms_do_not_become_batch_norms():
    model = nn.Sequential(nn.BatchNorm2d(8), SEQ(8), GHOST(8))
    assert convert(model, nn.BatchNorm2d).swapped == ("2",)
    assert type(model[1]) is SeqNorm
    assert convert(model, SEQ).swapped == ("0", "2")
    assert convert(nn.Sequential(nn.BatchNorm2d(8), GHOST(8)), SEQ).swapped == ("0",)


@pytest.mark.parametrize("norm", [GHOST, SEQ, partial(GroupNorm, gc=2)], ids=["ghost", "seq", "group"])
def test_the_fuser_of_fx_leaves_these_norms_alone(norm):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 1), norm(8))
    model = trained(model, 4, 3, 5, 5)
    x = draw(2, 3, 5, 5, seed=9)
    fused = fuse(model)
    assert_close(fused(x), model(x))
    assert [type(layer) for layer in fused.children()][-1] is norm.func


@pytest.mark.parametrize(
    "norm",
    [
        GHOST,
        SEQ,
        partial(GroupNorm, gc=2),
        partial(NoisyBatchNorm, sigma=0.1),
        partial(NoisySeqNorm, sigma=0.1, gc=2, gm=2),
    ],
    ids=lambda norm: norm.func.__name__,
)
def test_fx_records_a_layer_as_one_node_in_either_mode(norm):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), norm(8), nn.ReLU())
    traced = fx.symbolic_trace(model)
    assert [node.target for node in traced.graph.nodes if node.op == "call_module"] == ["0", "1", "2"]
    x = draw(4, 3, 5, 5)
    for mode in (True, False):
        torch.manual_seed(0)
        expected = copy.deepcopy(model).train(mode)(x)
        torch.manual_seed(0)
        assert_close(traced.train(mode)(x), expected)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")
@pytest.mark.parametrize("norm", [GHOST, SEQ, partial(GroupNorm, gc=2)], ids=["ghost", "seq", "group"])
def test_scripting_is_refused_with_what_to_use_instead(norm):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), norm(8))
    with pytest.raises(NotImplementedError, match=r"torch.jit.script cannot compile a .*Use torch.export"):
        torch.jit.script(model)
    assert type(model[1]) is norm.func


def test_fx_calls_the_activation_of_a_converted_layer_of_timm_once():
    model = nn.Sequential(timm.layers.BatchNormAct2d(8, act_layer=nn.SiLU))
    convert(model, SEQ)
    x = draw(4, 8, 3, 3)
    assert_close(fx.symbolic_trace(model)(x), model(x))


def test_feature_extractors_find_a_converted_layer_under_its_name():
    model = convert(torchvision.models.resnet18(num_classes=3), SEQ).model.eval()
    features = create_feature_extractor(model, {"layer1.0.bn1": "features"})
    seen = []
    model.layer1[0].bn1.register_forward_hook(lambda module, args, output: seen.append(output.clone()))
    x = draw(1, 3, 32, 32)
    model(x)
    assert_close(features(x)["features"], seen[0])
