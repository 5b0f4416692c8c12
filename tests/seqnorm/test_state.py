"""Whose running statistics a state dict holds: they are loaded, or start afresh with a warning."""

import copy
import io
import warnings

import pytest
import torch
from safetensors.torch import load, save
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch.testing import assert_close

from seqnorm import BatchNorm, GhostNorm, NoisySeqNorm, SeqNorm
from tests.seqnorm.shapes import draw

LAYERS = {
    "GhostNorm": lambda: GhostNorm(8, gm=2),
    "shared GhostNorm": lambda: GhostNorm(8, gm=2, shared_var=True),
    "SeqNorm": lambda: SeqNorm(8, gc=4, gm=2),
    "SeqNorm of other groups": lambda: SeqNorm(8, gc=2, gm=2),
    "reversed SeqNorm": lambda: SeqNorm(8, gc=4, gm=2, ghost_first=True),
    "shared SeqNorm": lambda: SeqNorm(8, gc=4, gm=2, shared_var=True),
}
SAME_SOURCE = [{"GhostNorm", "reversed SeqNorm"}]
EVERY_LAYER = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


def inputs(seed=0, dtype=torch.float32):
    """Draw activations whose channels have means and variances of their own."""
    return (draw(8, 8, 3, 3, seed=seed) * torch.arange(1.0, 9).view(8, 1, 1) + draw(8, 1, 1, seed=7)).to(dtype)


def trained(layer, dtype=torch.float32):
    for seed in range(3):
        layer(inputs(seed, dtype))
    if layer.weight is not None:
        nn.init.normal_(layer.weight)
    return layer


def loads_quietly(layer, state, **options):
    """Load a state dict without a warning; return the layer."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer.load_state_dict(state, **options)
    return layer


def starts_afresh(layer, state, message="", **options):
    """Check that weights are loaded, statistics start afresh, and a warning says so."""
    trained(layer)
    with pytest.warns(UserWarning, match=message or "running statistics start afresh"):
        layer.load_state_dict(state, **options)
    assert_close(layer.weight.data, state["weight"])
    assert layer.running_mean.eq(0).all()
    assert layer.running_var.eq(1).all()
    assert layer.num_batches_tracked == 0


def by_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


WAYS = {"state dict": lambda state: state, "copy": copy.deepcopy, "file": by_file}
WITHOUT_METADATA = {"dict": dict, "safetensors": lambda state: load(save(dict(state)))}


@pytest.mark.parametrize("way", [*WAYS.values(), *WITHOUT_METADATA.values()], ids=[*WAYS, *WITHOUT_METADATA])
@EVERY_LAYER
def test_a_layers_own_statistics_are_loaded(make, way):
    layer = trained(make())
    twin = loads_quietly(make(), way(layer.state_dict()))
    assert_close(twin.eval()(inputs(9)), layer.eval()(inputs(9)))
    assert twin.num_batches_tracked == 3


@pytest.mark.parametrize("way", [*WAYS.values(), *WITHOUT_METADATA.values()], ids=[*WAYS, *WITHOUT_METADATA])
def test_a_seq_norm_does_not_take_batch_norms_statistics(way):
    state = way(trained(nn.BatchNorm2d(8)).state_dict())
    starts_afresh(
        SeqNorm(8, gc=4, gm=2),
        state,
        r"running statistics for SeqNorm\(8, gc=4, gm=2\) must be of the output of GroupNorm\(gc=4\): got those of the "
        r"input, as BatchNorm's. The weights were loaded and the running statistics start afresh: call "
        r"seqnorm.update_statistics\(loader, model\) before evaluation.",
    )
    starts_afresh(SeqNorm(8, gc=1, gm=2, shared_var=True), state)
    starts_afresh(NoisySeqNorm(8, 0.1, gc=8, gm=2), state)
    starts_afresh(GhostNorm(8, gm=2, shared_var=True), state)


@pytest.mark.parametrize("make", [LAYERS["GhostNorm"], LAYERS["reversed SeqNorm"], lambda: BatchNorm(8)])
@pytest.mark.parametrize("way", [*WAYS.values(), *WITHOUT_METADATA.values()], ids=[*WAYS, *WITHOUT_METADATA])
def test_layers_that_normalize_the_input_first_take_batch_norms(make, way):
    theirs = trained(nn.BatchNorm2d(8))
    layer = loads_quietly(make(), way(theirs.state_dict()))
    assert_close(dict(layer.state_dict()), dict(theirs.state_dict()), rtol=0, atol=0)


@pytest.mark.parametrize("saved", LAYERS)
@pytest.mark.parametrize("loading", LAYERS)
def test_layers_take_statistics_of_what_they_themselves_track_and_no_others(saved, loading):
    state = trained(LAYERS[saved]()).state_dict()
    if saved == loading or {saved, loading} in SAME_SOURCE:
        layer = loads_quietly(LAYERS[loading](), state)
        assert_close(dict(layer.state_dict()), dict(state))
    else:
        starts_afresh(LAYERS[loading](), state)


@EVERY_LAYER
def test_torchs_batch_norm_takes_every_state_as_it_did(make):
    layer = trained(make())
    theirs = loads_quietly(nn.BatchNorm2d(8), layer.state_dict())
    assert_close(dict(theirs.state_dict()), dict(layer.state_dict()))


@EVERY_LAYER
def test_a_checkpoint_of_version_0_1_goes_on(make):
    layer = trained(make())
    state = layer.state_dict()
    state._metadata[""] = {"version": 1}  # what nn.Module writes for a class that says nothing
    twin = loads_quietly(make(), by_file(state))
    assert_close(dict(twin.state_dict()), dict(state))


class BatchNormByHand(nn.Module):
    """A BatchNorm of one's own, whose state dict has version 1, as a layer's of seqnorm 0.1."""

    def __init__(self):
        super().__init__()
        for name, tensor in trained(nn.BatchNorm2d(8)).state_dict().items():
            self.register_buffer(name, tensor)


@pytest.mark.parametrize("source", ["GhostNorm", "shared GhostNorm", "by hand"])
@pytest.mark.parametrize("loading", ["SeqNorm", "SeqNorm of other groups", "shared SeqNorm"])
def test_a_checkpoint_of_version_0_1_of_another_layer_is_known_by_its_numbers(source, loading):
    state = (BatchNormByHand() if source == "by hand" else trained(LAYERS[source]())).state_dict()
    state._metadata[""] = {"version": 1}
    starts_afresh(LAYERS[loading](), by_file(state))


@pytest.mark.parametrize("version", [None, 1])
def test_batch_norms_of_old_without_a_count_load_as_torchs_do(version):
    state = trained(nn.BatchNorm2d(8)).state_dict()
    del state["num_batches_tracked"]
    state._metadata[""] = {} if version is None else {"version": version}
    theirs = loads_quietly(nn.BatchNorm2d(8), state)
    ours = loads_quietly(GhostNorm(8, gm=2), state)
    assert_close(dict(ours.state_dict()), dict(theirs.state_dict()))
    starts_afresh(SeqNorm(8, gc=4, gm=2), state)


def test_a_count_that_is_missing_from_a_newer_state_is_missed_as_torch_does():
    state = trained(nn.BatchNorm2d(8)).state_dict()
    del state["num_batches_tracked"]
    for layer in (nn.BatchNorm2d(8), GhostNorm(8, gm=2)):
        with pytest.raises(RuntimeError, match=r"Missing key.*num_batches_tracked"):
            layer.load_state_dict(state)


def test_loading_nothing_leaves_the_count_alone_as_torch_does():
    layer = trained(SeqNorm(8, gc=4, gm=2))
    layer.load_state_dict({}, strict=False)
    assert layer.num_batches_tracked == 3


@pytest.mark.parametrize("assign", [False, True])
def test_layers_inside_a_model_are_told_apart(assign):
    theirs = nn.Sequential(nn.Conv2d(8, 8, 1), trained(nn.BatchNorm2d(8)), trained(GhostNorm(8, gm=2)))
    ours = nn.Sequential(nn.Conv2d(8, 8, 1), SeqNorm(8, gc=4, gm=2), GhostNorm(8, gm=4))
    with pytest.warns(UserWarning, match=r"statistics for 1, a SeqNorm\(8, gc=4, gm=2\), must be of") as warned:
        ours.load_state_dict(theirs.state_dict(), assign=assign)
    assert len(warned) == 1
    assert ours[1].running_var.eq(1).all()
    assert_close(dict(ours[2].state_dict()), dict(theirs[2].state_dict()))
    assert theirs[1].running_mean.ne(0).all()  # the caller's dictionary is not written to


class CallsByKeyword(SeqNorm):
    def _load_from_state_dict(self, state_dict, prefix, local_metadata, **others):
        super()._load_from_state_dict(state_dict, prefix=prefix, local_metadata=local_metadata, **others)


def test_a_subclass_may_load_with_torchs_keywords():
    layer, state = CallsByKeyword(8, gc=4, gm=2), trained(SeqNorm(8, gc=4, gm=2)).state_dict()
    lists = {"missing_keys": [], "unexpected_keys": [], "error_msgs": []}
    layer._load_from_state_dict(state, "", state._metadata[""], strict=True, **lists)
    assert lists == {"missing_keys": [], "unexpected_keys": [], "error_msgs": []}
    assert_close(dict(layer.state_dict()), dict(state))


def test_an_averaged_models_state_loads_into_the_model():
    model = nn.Sequential(nn.Conv2d(8, 8, 1), trained(SeqNorm(8, gc=4, gm=2)))
    averaged = AveragedModel(model, use_buffers=True)
    averaged.update_parameters(model)
    state = averaged.state_dict()
    nn.modules.utils.consume_prefix_in_state_dict_if_present(state, "module.")
    del state["n_averaged"]
    loads_quietly(copy.deepcopy(model), state)
    loads_quietly(copy.deepcopy(model), dict(state))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("space", [(), (3, 3)])
@pytest.mark.parametrize("gc", [1, 2, 4])
def test_statistics_trained_in_half_precision_are_known_by_their_numbers(dtype, space, gc):
    layer = SeqNorm(8, gc=gc, gm=4)
    for seed in range(10):
        x = draw(32, 8, *space, seed=seed) * torch.arange(1.0, 9).view(8, *[1] * len(space)) + 3
        layer(x.to(dtype))
    loads_quietly(SeqNorm(8, gc=gc, gm=4), dict(layer.state_dict()))
    half = layer.to(dtype)
    loads_quietly(SeqNorm(8, gc=gc, gm=4).to(dtype), dict(half.state_dict()))


def test_without_statistics_there_is_nothing_to_refuse():
    options = {"track_running_stats": False}
    loads_quietly(SeqNorm(8, gc=4, gm=2, **options), nn.BatchNorm2d(8, **options).state_dict())
    with pytest.raises(RuntimeError, match="Missing key"):
        SeqNorm(8, gc=4, gm=2).load_state_dict(nn.BatchNorm2d(8, **options).state_dict())
    with pytest.raises(RuntimeError, match="Unexpected key"):
        SeqNorm(8, gc=4, gm=2, **options).load_state_dict(nn.BatchNorm2d(8).state_dict())


def test_names_are_batch_norms_and_a_dictionary_of_ones_own_is_filled():
    assert list(SeqNorm(8, gc=4, gm=2).state_dict()) == list(nn.BatchNorm2d(8).state_dict())
    own = {}
    SeqNorm(8, gc=4, gm=2).state_dict(destination=own)
    assert list(own) == list(nn.BatchNorm2d(8).state_dict())
