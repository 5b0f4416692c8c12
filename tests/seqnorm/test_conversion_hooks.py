"""Hooks and attributes that people have added to a BatchNorm work on the norm that takes its place."""

import copy
import pickle
from functools import partial

import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import nn
from torch.testing import assert_close

from seqnorm import BatchNorm, SeqNorm, convert

SEQ = partial(SeqNorm, gc=2, gm=2)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Calls:
    """Counts the calls of each hook, and keeps the module that a hook was given."""

    def __init__(self):
        self.modules = {}

    def __call__(self, name):
        def hook(module, *_, **__):
            self.modules.setdefault(name, []).append(module)

        return hook


REGISTER = {
    "forward": lambda layer, hook: layer.register_forward_hook(hook),
    "forward, with keywords": lambda layer, hook: layer.register_forward_hook(hook, with_kwargs=True),
    "forward, always": lambda layer, hook: layer.register_forward_hook(hook, always_call=True),
    "before forward": lambda layer, hook: layer.register_forward_pre_hook(hook),
    "before forward, with keywords": lambda layer, hook: layer.register_forward_pre_hook(hook, with_kwargs=True),
    "backward": lambda layer, hook: layer.register_full_backward_hook(hook),
    "before backward": lambda layer, hook: layer.register_full_backward_pre_hook(hook),
    "state dict": lambda layer, hook: layer.register_state_dict_post_hook(hook),
    "before state dict": lambda layer, hook: layer.register_state_dict_pre_hook(hook),
    "load": lambda layer, hook: layer.register_load_state_dict_post_hook(hook),
    "before load": lambda layer, hook: layer.register_load_state_dict_pre_hook(hook),
}


@pytest.mark.parametrize("kind", REGISTER)
def test_every_kind_of_hook_goes_on_and_its_handle_still_removes_it(kind):
    layer, calls = nn.BatchNorm2d(4), Calls()
    handle = REGISTER[kind](layer, calls(kind))
    model = convert(nn.Sequential(nn.Conv2d(4, 4, 1), layer), SEQ).model

    def use():
        model(draw(4, 4, 2, 2)).sum().backward()
        model.load_state_dict(model.state_dict())

    use()
    assert calls.modules == {kind: [model[1]]}
    assert isinstance(model[1], SeqNorm)
    handle.remove()
    use()
    assert len(calls.modules[kind]) == 1


def test_a_forward_hook_that_changes_the_output_still_does():
    theirs = nn.Sequential(nn.BatchNorm1d(4))
    theirs[0].register_forward_hook(lambda module, args, output: output * 3)
    theirs[0].register_forward_pre_hook(lambda module, args: (args[0] + module.num_features,))
    ours = convert(copy.deepcopy(theirs), BatchNorm).model
    x = draw(6, 4)
    assert_close(ours(x), theirs(x))


def test_a_hook_on_a_layer_of_timm_sees_the_activated_output():
    seen = []
    theirs = BatchNormAct2d(4, act_layer=nn.SiLU, inplace=False)
    theirs.register_forward_hook(lambda module, args, output: seen.append(output))
    ours = convert(copy.deepcopy(theirs), BatchNorm).model
    x = draw(4, 4, 2, 2)
    theirs(x)
    ours(x)
    assert_close(seen[1], seen[0])


def scale(module, args, output):
    return output * module.factor


def test_attributes_that_people_add_stay_and_hooks_can_read_them():
    layer = nn.BatchNorm1d(4)
    layer.full_name, layer.factor = "encoder.bn", 2.0
    layer.register_forward_hook(scale)
    model = convert(nn.Sequential(layer), SEQ).model
    assert model[0].full_name == "encoder.bn"
    loaded = pickle.loads(pickle.dumps(copy.deepcopy(model)))
    x = draw(4, 4)
    assert_close(loaded(x), model(x))


def test_a_hook_of_the_new_norm_runs_before_those_of_the_old():
    order = []
    layer = nn.BatchNorm1d(4)
    layer.register_forward_hook(lambda *_: order.append("old"))

    def norm(width):
        new = SeqNorm(width, gc=2, gm=2)
        new.register_forward_hook(lambda *_: order.append("new"))
        return new

    convert(nn.Sequential(layer), norm).model(draw(4, 4))
    assert order == ["new", "old"]
