"""One step of training: its gradients and updates are those of a plain loop, however it is executed."""

from copy import deepcopy
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from trainers.data import digits
from trainers.data.memory import to_device
from trainers.data.standardizer import Standardizer
from trainers.devices import TrainingProcess
from trainers.loop import make_network
from trainers.recipe import find, resolve
from trainers.step import Step, make_optimizer, make_scaler
from trainers.trial import Params

HERE = TrainingProcess(torch.device("cpu"))
SHAPE = (1, 8, 8)


def network_of(numbers, recipe="digits-mlp", gm=4, gc=0):
    torch.manual_seed(0)
    params = Params(gm=gm, gc=gc, seed=0, numbers=numbers, normalize=gm > 0)
    return make_network(resolve(find(recipe).build), params, SHAPE, 10)


def step_of(network, numbers):
    return Step(network, network, make_optimizer(network, numbers, HERE), make_scaler(numbers, HERE), numbers, HERE)


def digits_step(gm=4, gc=0, **overrides):
    numbers = find("digits-mlp").with_overrides({"width": 16, **overrides})
    return step_of(network_of(numbers, gm=gm, gc=gc), numbers)


def weights(network):
    return [parameter.detach().clone() for parameter in network.parameters()]


def norm_of_gradients(network):
    return torch.cat([parameter.grad.flatten() for parameter in network.parameters()]).norm().item()


def moved(before, network):
    """Return how far all weights went."""
    return torch.cat([(a - b).flatten() for a, b in zip(before, weights(network), strict=True)]).norm().item()


@pytest.fixture(scope="module")
def batches():
    """Four batches of 128 digits."""
    images = digits.load(find("digits-mlp").numbers(), None, Path())
    pixels = to_device(images.train_x, HERE.device)
    inputs, labels = Standardizer.fit(pixels).apply(pixels)[:512], torch.tensor(images.train_y[:512])
    return list(zip(inputs.split(128), labels.split(128), strict=True))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"momentum": 0.9},
        {"weight_decay": 0.01},
        {"momentum": 0.9, "weight_decay": 0.01},
        {"momentum": 0.9, "weight_decay": 0.01, "nesterov": True},
    ],
    ids=lambda options: "+".join(options) or "plain",
)
def test_updates_are_those_of_torchs_sgd(batches, options):
    step = digits_step(**options)
    reference = deepcopy(step.network)
    sgd = torch.optim.SGD(reference.parameters(), lr=1.0, **options)
    for rate, (inputs, labels) in zip((0.3, 0.1, 0.2, 0.05), batches, strict=True):
        sgd.param_groups[0]["lr"] = rate
        sgd.zero_grad()
        loss = F.cross_entropy(reference(inputs), labels)
        loss.backward()
        sgd.step()
        assert step(inputs, labels, rate) == loss
    assert all(map(torch.equal, weights(step.network), weights(reference)))


def test_momentum_looks_ahead_by_nesterovs_formula(batches):
    step = digits_step(momentum=0.5, nesterov=True, weight_decay=0.1)
    expected = weights(step.network)
    velocities = [torch.zeros_like(weight) for weight in expected]
    for inputs, labels in batches:
        step.gradients(inputs, labels)
        for weight, velocity, parameter in zip(expected, velocities, step.network.parameters(), strict=True):
            gradient = parameter.grad + 0.1 * weight
            velocity.mul_(0.5).add_(gradient)
            weight.sub_(0.2 * (gradient + 0.5 * velocity))
        step.update(0.2)
    for ours, theirs in zip(weights(step.network), expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_nesterov_without_momentum_is_plain_sgd(batches):
    plain, nesterov = digits_step(), digits_step(nesterov=True)
    for step in (plain, nesterov):
        step(*batches[0], 0.1)
    assert all(map(torch.equal, weights(plain.network), weights(nesterov.network)))


def decayed(recipe, **overrides):
    """Return the names of the parameters that a step without gradients halves, and of those it leaves alone."""
    numbers = find(recipe).with_overrides({"weight_decay": 0.5, "momentum": 0, "clip": 0, **overrides})
    network = network_of(numbers, recipe)
    step = step_of(network, numbers)
    before = dict(zip(dict(network.named_parameters()), weights(network), strict=True))
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    step.update(1.0)
    halved = {name for name, of in network.named_parameters() if torch.equal(of, before[name] / 2) and of.any()}
    alone = {name for name, of in network.named_parameters() if torch.equal(of, before[name]) and of.any()}
    return halved, alone


def test_without_decay_norms_only_parameters_named_bn_are_spared():
    halved, alone = decayed("imagenet-resnet18", blocks=1, width=4, precision="fp32")
    assert alone == {"bn1.weight", *(f"layer{stage}.0.bn{norm}.weight" for stage in (1, 2, 3, 4) for norm in (1, 2))}
    assert {"conv1.weight", "fc.weight", "fc.bias", "layer2.0.downsample.1.weight"} <= halved
    assert not any(".bn" in name or name.startswith("bn") for name in halved)


def test_with_decay_norms_every_parameter_decays():
    halved, alone = decayed("imagenet-resnet18", blocks=1, width=4, precision="fp32", decay_norms=True)
    assert alone == set()
    assert {"bn1.weight", "layer1.0.bn1.weight", "conv1.weight"} <= halved


def test_clipping_shortens_the_whole_gradient_and_keeps_its_direction(batches):
    free, clipped = digits_step(), digits_step(clip=0.01)
    before = weights(free.network)
    for step in (free, clipped):
        step(*batches[0], 1.0)
    assert moved(before, free.network) > 0.1
    assert moved(before, clipped.network) == pytest.approx(0.01, rel=1e-4)
    scale = 0.01 / moved(before, free.network)
    for start, far, near in zip(before, weights(free.network), weights(clipped.network), strict=True):
        torch.testing.assert_close(near - start, (far - start) * scale, rtol=1e-3, atol=1e-7)


def test_a_gradient_within_the_limit_is_not_clipped(batches):
    free, clipped = digits_step(), digits_step(clip=100)
    for step in (free, clipped):
        step(*batches[0], 1.0)
    assert all(map(torch.equal, weights(free.network), weights(clipped.network)))


@pytest.mark.parametrize("loss_scale", [0, 128])
def test_clipping_limits_the_gradient_without_the_scale_of_its_loss(batches, loss_scale):
    step = digits_step(clip=0.01, precision="fp16", loss_scale=loss_scale)
    before = weights(step.network)
    step(*batches[0], 1.0)
    assert moved(before, step.network) == pytest.approx(0.01, rel=1e-2)


def test_clipping_limits_the_gradient_of_all_passes_together(batches):
    step = digits_step(clip=0.01, accumulate=4)
    before = weights(step.network)
    step(*batches[0], 1.0)
    assert moved(before, step.network) == pytest.approx(0.01, rel=1e-4)


@pytest.mark.parametrize("share", [0.1, 1.0])
def test_label_smoothing_gives_all_classes_a_share_of_the_label(batches, share):
    step = digits_step(label_smoothing=share)
    inputs, labels = batches[0]
    logarithms = F.log_softmax(step.network(inputs), dim=1)
    own = -logarithms[torch.arange(128), labels].mean()
    everyone = -logarithms.mean()
    expected = (1 - share) * own + share * everyone
    torch.testing.assert_close(step.loss(inputs, labels), expected)


def test_labels_may_be_probabilities(batches):
    step = digits_step(label_smoothing=0.1)
    inputs, labels = batches[0]
    certain = F.one_hot(labels, 10).float()
    torch.testing.assert_close(step.loss(inputs, certain), step.loss(inputs, labels))


@pytest.mark.parametrize(("gm", "gc"), [(4, 0), (8, 0), (8, 4)])
@pytest.mark.parametrize("passes", [2, 4])
def test_gradients_accumulated_over_passes_are_those_of_ghost_norm(batches, passes, gm, gc):
    options = {"momentum": 0.9, "weight_decay": 0.01}
    ghost, accumulated = digits_step(gm, gc, **options), digits_step(gm, gc, accumulate=passes, **options)
    assert accumulated.network[2].gm * passes == ghost.network[2].gm == gm
    for step in (ghost, accumulated):
        step.network.double()
    for inputs, labels in batches:
        losses = [step.gradients(inputs.double(), labels) for step in (ghost, accumulated)]
        torch.testing.assert_close(*losses, rtol=128 * 2**-24, atol=0)  # sums of 128 losses, in any order
        pairs = zip(ghost.network.parameters(), accumulated.network.parameters(), strict=True)
        for ours, theirs in pairs:  # the loss is in float32, and so is the gradient that comes from it
            torch.testing.assert_close(theirs.grad, ours.grad, rtol=1e-5, atol=1e-8)
        for step in (ghost, accumulated):
            step.update(0.1)
    for ours, theirs in zip(ghost.network.parameters(), accumulated.network.parameters(), strict=True):
        torch.testing.assert_close(theirs, ours, rtol=1e-6, atol=1e-8)


def test_the_loss_over_passes_is_the_one_that_training_has(batches):
    step = digits_step(gm=8, accumulate=4)
    inputs, labels = batches[0]
    by_hand = step.loss_over_passes(inputs, labels, step.network)
    torch.testing.assert_close(step.gradients(inputs, labels), by_hand)
    assert not torch.isclose(by_hand, step.loss(inputs, labels))  # groups of 64, not of 16


@pytest.mark.parametrize(("precision", "kind"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_low_precision_is_that_of_the_network_and_not_of_its_weights_or_loss(batches, precision, kind):
    step = digits_step(precision=precision)
    seen = []
    step.network.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    loss = step(*batches[0], 0.1)
    assert seen == [kind]
    assert loss.dtype == torch.float32
    assert {parameter.dtype for parameter in step.network.parameters()} == {torch.float32}


@pytest.mark.parametrize("options", [{"precision": "bf16"}, {"precision": "fp16"}], ids=["bf16", "fp16"])
@pytest.mark.parametrize("passes", [1, 4])
def test_low_precision_follows_full_precision(batches, options, passes):
    full, low = digits_step(accumulate=passes), digits_step(accumulate=passes, **options)
    losses = [[step(*batch, 0.5).item() for batch in batches * 3] for step in (full, low)]
    assert losses[1] == pytest.approx(losses[0], rel=0.03)
    assert losses[1][-1] < losses[1][0] / 3
    assert losses[1] != losses[0]


def test_full_precision_has_no_loss_scale():
    assert digits_step()._scaler.get_scale() == 1.0


@pytest.mark.parametrize("options", [{}, {"loss_scale": 128}], ids=["adapted", "static"])
def test_an_fp16_gradient_that_is_not_finite_skips_its_step(batches, options):
    step = digits_step(precision="fp16", momentum=0.9, **options)
    before = weights(step.network)
    inputs, labels = batches[0]
    spoiled = inputs.clone()
    spoiled[5] = torch.inf
    step(spoiled, labels, 0.1)
    assert moved(before, step.network) == 0
    step(inputs, labels, 0.1)
    assert moved(before, step.network) > 0
    assert all(weight.isfinite().all() for weight in weights(step.network))


def scales(step, batches):
    """Return the loss scale before and after a step that overflows, and after one that does not."""
    inputs, labels = batches[0]
    seen = [step._scaler.get_scale()]
    for x in (torch.full_like(inputs, torch.inf), inputs):
        step(x, labels, 0.1)
        seen.append(step._scaler.get_scale())
    return seen


def test_the_scale_of_the_loss_adapts_to_an_overflow(batches):
    first, *later = scales(digits_step(precision="fp16"), batches)
    assert later == [first / 2, first / 2]


def test_a_static_scale_of_the_loss_stays(batches):
    assert scales(digits_step(precision="fp16", loss_scale=128), batches) == [128.0, 128.0, 128.0]


def test_a_step_sets_its_gradient_anew(batches):
    step = digits_step()
    step.gradients(*batches[0])
    first = norm_of_gradients(step.network)
    step.gradients(*batches[0])
    assert norm_of_gradients(step.network) == pytest.approx(first)


def test_the_loss_of_a_step_is_the_one_before_it(batches):
    step = digits_step()
    losses = [step(*batches[0], 0.1) for _ in range(5)]
    assert not losses[0].requires_grad
    assert losses[0] == F.cross_entropy(digits_step().network(batches[0][0]), batches[0][1])
    assert all(later < earlier for earlier, later in pairwise(losses))


def test_every_layer_of_a_network_learns(batches):
    step = digits_step()
    before = weights(step.network)
    for batch in batches:
        step(*batch, 0.1)
    still = [a for a, b in zip(before, step.network.parameters(), strict=True) if torch.equal(a, b)]
    linear = [layer for layer in step.network if isinstance(layer, nn.Linear)]
    assert len(linear) == 3
    assert still == []
