"""Running statistics computed anew, as torch's ``update_bn`` does for BatchNorm."""

import copy

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn
from torch.testing import assert_close

from seqnorm import BatchNorm, GhostNorm, NoisyBatchNorm, SeqNorm, update_statistics
from tests.seqnorm.shapes import draw

BATCHES = [draw(8, 4, 2, 2, seed=seed).float() for seed in range(3)]
SEQ_NORM = {"gc": 2, "gm": 2}


def network(*norms):
    """Return a network whose norms have seen something else."""
    torch.manual_seed(0)
    model = nn.Sequential(*(layer for norm in norms for layer in (nn.Conv2d(4, 4, 1), norm)))
    model(draw(8, 4, 2, 2, seed=9).float() * 5)
    return model


def statistics(model):
    return {name: buffer.clone() for name, buffer in model.named_buffers()}


def test_of_batch_norm_they_are_those_of_update_bn():
    ours, theirs = network(BatchNorm(4), BatchNorm(4)), network(nn.BatchNorm2d(4), nn.BatchNorm2d(4))
    update_statistics(BATCHES, ours)
    update_bn(BATCHES, theirs)
    assert_close(statistics(ours), statistics(theirs))
    mixed = network(nn.BatchNorm2d(4), BatchNorm(4))
    update_statistics(BATCHES, mixed)
    assert_close(statistics(mixed), statistics(theirs))


@pytest.mark.parametrize(
    "norm",
    [
        GhostNorm(4, gm=2),
        GhostNorm(4, gm=2, running="sequential"),
        NoisyBatchNorm(4, sigma=0, gm=2),
        SeqNorm(4, **SEQ_NORM),
        SeqNorm(4, **SEQ_NORM, running="pooled", shared_var=True),
        SeqNorm(4, **SEQ_NORM, ghost_first=True),
    ],
    ids=str,
)
def test_of_every_layer_they_are_the_average_over_the_batches(norm):
    model = network(norm)
    fresh = copy.deepcopy(norm)
    fresh.reset_running_stats()
    fresh.momentum = None
    for batch in BATCHES:
        fresh(model[0](batch))
    update_statistics(BATCHES, model)
    assert_close(norm.state_dict(), fresh.state_dict())


class Ema(nn.Module):
    """A wrapper that holds the online model and its average, of which it calls one."""

    def __init__(self, online):
        super().__init__()
        self.online, self.average = online, copy.deepcopy(online)

    def forward(self, x):
        return self.average(x)


@pytest.mark.parametrize(
    "wrap",
    [
        AveragedModel,
        lambda model: AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9)),
        lambda model: AveragedModel(model, use_buffers=True),
        nn.Sequential,
    ],
    ids=["average", "EMA", "EMA of buffers", "other"],
)
def test_averaged_weights_get_the_statistics_of_their_own_activations(wrap):
    model = network(SeqNorm(4, **SEQ_NORM), GhostNorm(4, gm=2))
    averaged = wrap(model)
    for _ in range(2):
        if isinstance(averaged, AveragedModel):
            averaged.update_parameters(model)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.5
    (inner,) = averaged.children()
    alone = network(SeqNorm(4, **SEQ_NORM), GhostNorm(4, gm=2))
    alone.load_state_dict(inner.state_dict())
    update_statistics(BATCHES, averaged)
    update_statistics(BATCHES, alone)
    assert_close(statistics(inner), statistics(alone))
    update_statistics(BATCHES, model)
    assert inner is model or not torch.allclose(inner[1].running_var, model[1].running_var)


def test_what_no_batch_reaches_keeps_its_statistics():
    model = network(SeqNorm(4, **SEQ_NORM))
    wrapper, before = Ema(model), statistics(model)
    update_statistics(BATCHES, wrapper)
    assert_close(statistics(wrapper.online), before, rtol=0, atol=0)
    assert wrapper.average[1].num_batches_tracked == 3


@pytest.mark.parametrize("momentum", [0.3, None])
def test_momentum_and_every_modules_mode_are_restored(momentum):
    model = network(SeqNorm(4, **SEQ_NORM, momentum=momentum), GhostNorm(4, gm=2))
    model[0].eval()
    model[3].eval()
    update_statistics(BATCHES, model)
    assert [module.training for module in model] == [False, True, True, False]
    assert model[1].momentum == momentum
    assert model[3].num_batches_tracked == 3


def test_inputs_are_the_first_of_each_batch_and_move_to_the_device():
    model, seen = network(SeqNorm(4, **SEQ_NORM)), []

    def see(_, inputs):
        seen.append(inputs[0].device.type)
        return (BATCHES[0],)  # this model is on the CPU

    model.register_forward_pre_hook(see)
    update_statistics([(BATCHES[0], "label"), [BATCHES[1], 3], BATCHES[2]], model)
    update_statistics([(BATCHES[0], "label"), [BATCHES[1], 3], BATCHES[2]], model, device="meta")
    assert seen == ["cpu"] * 3 + ["meta"] * 3


def test_no_gradient_is_recorded():
    model = network(SeqNorm(4, **SEQ_NORM))
    outputs = []
    model.register_forward_hook(lambda *call: outputs.append(call[-1]))
    update_statistics(BATCHES, model)
    assert not outputs[0].requires_grad


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        (lambda: [], "got 0 batches. Pass a loader with data"),
        (lambda: iter(()), "got 0 batches"),
        (lambda: [BATCHES[0][:0]], "got 1 batches"),
        (lambda: [BATCHES[0], BATCHES[0][:7]], "gm must divide the batch: got gm=2 for 7 samples"),
    ],
    ids=["empty", "used up", "no samples", "uneven"],
)
def test_a_pass_that_fails_leaves_everything_as_it_was(loader, message):
    model = network(SeqNorm(4, **SEQ_NORM)).eval()
    before = statistics(model)
    with pytest.raises(ValueError, match=message):
        update_statistics(loader(), model)
    assert_close(statistics(model), before, rtol=0, atol=0)
    assert not any(module.training for module in model.modules())
    assert model[1].momentum == 0.1


def test_a_model_that_keeps_its_norms_in_evaluation_is_refused():
    class Frozen(nn.Sequential):
        def train(self, mode=True):
            super().train(mode)
            self[1].eval()
            return self

    model = Frozen(*network(SeqNorm(4, **SEQ_NORM)))
    with pytest.raises(ValueError, match=r"got 3 batches\. Let model\.train\(\) put its norms in training mode"):
        update_statistics(BATCHES, model)


@pytest.mark.parametrize("model", [nn.Linear(4, 4), GhostNorm(4, gm=2, track_running_stats=False)], ids=str)
def test_a_model_without_running_statistics_is_warned_of(model):
    with pytest.warns(UserWarning, match=r"update_statistics needs a layer with running statistics"):
        update_statistics(BATCHES, model)


def test_a_layer_is_made_new_by_the_names_that_torch_uses():
    layer = SeqNorm(4, **SEQ_NORM)
    layer(BATCHES[0])
    nn.init.normal_(layer.weight)
    layer.reset_running_stats()
    assert_close(list(layer.buffers()), list(SeqNorm(4, **SEQ_NORM).buffers()))
    layer.reset_parameters()
    assert_close(layer.state_dict(), SeqNorm(4, **SEQ_NORM).state_dict())
    on_meta = SeqNorm(4, **SEQ_NORM, device="meta").to_empty(device="cpu")
    on_meta.reset_parameters()
    assert_close(on_meta.state_dict(), layer.state_dict())
