"""The residual networks: literal references, torchvision's own, sizes, starts, and one step at full size."""

import subprocess
import sys
from functools import partial

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from seqnorm import BatchNorm, GhostNorm, SeqNorm
from trainers.models.resnet import PaddedShortcut, cifar_resnet, imagenet_resnet
from trainers.models.wide_resnet import wide_resnet
from trainers.recipe import RecipeError
from trainers.widths import cifar_resnet_widths, imagenet_resnet_widths, wide_resnet_widths

GHOST = partial(GhostNorm, gm=1)


def nothing(num_channels):
    return nn.Identity()


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def parameters_in(network):
    return sum(parameter.numel() for parameter in network.parameters())


def small(build, norm=GHOST, seed=0, dropout=0.0):
    """One network of each family, of the least depth that has every part."""
    torch.manual_seed(seed)
    size = {cifar_resnet: (14, 8), imagenet_resnet: (2, 8), wide_resnet: (16, 2)}[build]
    return build(*size, 5, 3, norm, dropout)


EACH = pytest.mark.parametrize("build", [cifar_resnet, imagenet_resnet, wide_resnet])


@pytest.mark.parametrize("norm", [GHOST, nn.BatchNorm2d, partial(SeqNorm, gc=4, gm=1)], ids=["ghost", "torch", "seq"])
@pytest.mark.parametrize(
    ("build", "size", "classes", "parameters"),
    [
        (cifar_resnet, (56, 16), 10, 853_018),
        (imagenet_resnet, (2, 64), 1000, 11_689_512),
        (wide_resnet, (28, 10), 10, 36_479_194),
        (wide_resnet, (28, 10), 100, 36_536_884),
    ],
)
def test_a_network_of_the_paper_has_its_known_size_whatever_the_norm(build, size, classes, parameters, norm):
    with torch.device("meta"):
        assert parameters_in(build(*size, classes, 3, norm)) == parameters


@pytest.mark.parametrize(
    ("build", "size", "batch", "pixels"),
    [(cifar_resnet, (56, 16), 4, 32), (imagenet_resnet, (2, 64), 2, 224), (wide_resnet, (28, 10), 2, 32)],
)
def test_one_step_at_full_size_moves_every_parameter_and_every_running_statistic(build, size, batch, pixels):
    torch.manual_seed(0)
    network = build(*size, 10, 3, GHOST)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    output = network(draw(batch, 3, pixels, pixels))
    assert output.shape == (batch, 10)
    loss = F.cross_entropy(output, torch.arange(batch))
    assert loss.isfinite()
    loss.backward()
    optimizer.step()
    assert all(value.isfinite().all() for value in network.state_dict().values())
    assert [name for name, value in network.state_dict().items() if torch.equal(value, before[name])] == []


@pytest.mark.parametrize(
    ("build", "widths_of", "size"),
    [
        (cifar_resnet, cifar_resnet_widths, (56, 16)),
        (cifar_resnet, cifar_resnet_widths, (8, 3)),
        (cifar_resnet, cifar_resnet_widths, (20, 24)),
        (imagenet_resnet, imagenet_resnet_widths, (2, 64)),
        (imagenet_resnet, imagenet_resnet_widths, (1, 5)),
        (imagenet_resnet, imagenet_resnet_widths, (3, 16)),
        (wide_resnet, wide_resnet_widths, (28, 10)),
        (wide_resnet, wide_resnet_widths, (10, 1)),
        (wide_resnet, wide_resnet_widths, (16, 4)),
    ],
)
def test_widths_are_those_of_the_norms_in_order(build, widths_of, size):
    asked = []

    def norm(num_channels):
        asked.append(num_channels)
        return GhostNorm(num_channels, gm=1)

    with torch.device("meta"):
        network = build(*size, 10, 3, norm)
    assert tuple(asked) == widths_of(*size)
    inside = [layer.num_channels for layer in network.modules() if isinstance(layer, GhostNorm)]
    assert tuple(inside) == widths_of(*size)


def test_the_papers_networks_have_the_known_numbers_of_norms():
    assert len(wide_resnet_widths(28, 10)) == 25
    assert sorted(set(wide_resnet_widths(28, 10))) == [16, 160, 320, 640]
    assert len(cifar_resnet_widths(56, 16)) == 55
    assert len(imagenet_resnet_widths(2, 64)) == 20


def test_widths_need_the_standard_library_only():
    program = """
import sys
before = set(sys.modules)
import trainers.widths
trainers.widths.wide_resnet_widths(28, 10)
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(finished.stdout.split()) - sys.stdlib_module_names == {"trainers"}


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (
            lambda: cifar_resnet(57, 16, 10, 3, GHOST),
            "depth of a CIFAR ResNet must be 6n + 2, n from 1 to 200: got 57. The nearest is 56.",
        ),
        (
            lambda: cifar_resnet_widths(60, 16),
            "depth of a CIFAR ResNet must be 6n + 2, n from 1 to 200: got 60. The nearest is 62.",
        ),
        (
            lambda: cifar_resnet_widths(2, 16),
            "depth of a CIFAR ResNet must be 6n + 2, n from 1 to 200: got 2. The nearest is 8.",
        ),
        (
            lambda: wide_resnet(26, 10, 10, 3, GHOST),
            "depth of a Wide ResNet must be 6n + 4, n from 1 to 200: got 26. The nearest is 28.",
        ),
        (
            lambda: wide_resnet_widths(6 * 10**8 + 4, 10),
            "depth of a Wide ResNet must be 6n + 4, n from 1 to 200: got 600000004. The nearest is 1204.",
        ),
        (
            lambda: imagenet_resnet(0, 64, 10, 3, GHOST),
            "blocks per stage must be from 1 to 200: got 0. ResNet-18 has 2.",
        ),
        (
            lambda: imagenet_resnet_widths(201, 64),
            "blocks per stage must be from 1 to 200: got 201. ResNet-18 has 2.",
        ),
    ],
)
def test_depths_that_no_network_has_are_refused(check, message):
    with pytest.raises(RecipeError) as refused:
        check()
    assert str(refused.value) == message


def test_he_s_shortcut_is_a_slice_and_zeros():
    x = draw(2, 3, 7, 6)
    expected = torch.zeros(2, 8, 4, 3)
    for row in range(4):
        for column in range(3):
            expected[:, :3, row, column] = x[:, :, 2 * row, 2 * column]
    assert torch.equal(PaddedShortcut(2, 5)(x), expected)


class Literal:
    """A network's arithmetic, written out: its own weights, torch's functions, statistics of the batch."""

    def __init__(self, network, normalize=True):
        self.weights = dict(network.named_parameters())
        self.normalize = normalize

    def conv(self, x, name, stride=1, padding=1):
        return F.conv2d(x, self.weights[f"{name}.weight"], None, stride, padding)

    def norm(self, x, name):
        if not self.normalize:
            return x
        return F.batch_norm(x, None, None, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], training=True)

    def classify(self, x):
        return F.linear(x.mean((2, 3)), self.weights["fc.weight"], self.weights["fc.bias"])

    def cifar_resnet(self, x):
        x = self.norm(self.conv(x, "conv1"), "bn1").relu()
        for stage in (1, 2, 3):
            for block in (0, 1):
                name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
                y = self.norm(self.conv(x, f"{name}.conv1", stride), f"{name}.bn1").relu()
                y = self.norm(self.conv(y, f"{name}.conv2"), f"{name}.bn2")
                if stride == 2:
                    x = torch.cat([x, torch.zeros_like(x)], dim=1)[:, :, ::2, ::2]
                x = (x + y).relu()
        return self.classify(x)

    def wide_resnet(self, x):
        x = self.conv(x, "conv1")
        for stage in (1, 2, 3):
            for block in (0, 1):
                name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
                y = self.norm(x, f"{name}.bn1").relu()
                if block == 0:
                    x = self.conv(y, f"{name}.shortcut", stride, padding=0)
                y = self.conv(y, f"{name}.conv1", stride)
                y = self.conv(self.norm(y, f"{name}.bn2").relu(), f"{name}.conv2")
                x = x + y
        return self.classify(self.norm(x, "bn1").relu())


def scattered(network):
    """Move norms and biases away from ones and zeros, so that a wrong one shows."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() == 1:
                parameter.add_(draw(*parameter.shape), alpha=0.1)
    return network


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("build", [cifar_resnet, wide_resnet])
def test_a_network_is_the_arithmetic_written_out(build, normalize):
    network = scattered(small(build, GHOST if normalize else nothing)).double()
    x = draw(3, 3, 16, 16).double().requires_grad_()
    ours = network(x)
    theirs = getattr(Literal(network, normalize), build.__name__)(x)
    assert_close(ours, theirs)
    gradients = [torch.autograd.grad(output.square().sum(), x)[0] for output in (ours, theirs)]
    assert_close(*gradients)


@pytest.mark.parametrize("norm", [BatchNorm, nn.BatchNorm2d])
def test_imagenet_resnet_is_torchvisions_resnet18(norm):
    theirs = scattered(torchvision.models.resnet18(num_classes=7))
    ours = imagenet_resnet(2, 64, 7, 3, norm)
    assert {name: value.shape for name, value in ours.state_dict().items()} == {
        name: value.shape for name, value in theirs.state_dict().items()
    }
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs(draw(4, 3, 64, 64))  # moves the running statistics
    ours.load_state_dict(theirs.state_dict())
    x = draw(4, 3, 64, 64, seed=1)
    assert_close(ours.eval()(x), theirs.eval()(x))
    assert_close(ours.train()(x), theirs.train()(x))


def test_the_names_that_nvidia_takes_weight_decay_off_are_the_norms_outside_shortcuts():
    for network, spared in ((cifar_resnet(56, 16, 10, 3, GHOST), 55), (imagenet_resnet(2, 64, 10, 3, GHOST), 17)):
        assert len([name for name, _ in network.named_parameters() if "bn" in name]) == 2 * spared


@EACH
def test_a_seed_gives_the_same_start_whatever_the_norm(build):
    starts, drawn_after = [], []
    for norm in (GHOST, nothing, partial(SeqNorm, gc=4, gm=2), nn.BatchNorm2d):
        parameters = small(build, norm, seed=3).named_parameters()
        starts.append({name: value for name, value in parameters if value.dim() > 1 or name == "fc.bias"})
        drawn_after.append(torch.rand(3))
    for start, drawn in zip(starts, drawn_after, strict=True):
        assert start.keys() == starts[0].keys()
        assert all(torch.equal(value, starts[0][name]) for name, value in start.items())
        assert torch.equal(drawn, drawn_after[0])
    assert not torch.equal(small(build, seed=4).conv1.weight, starts[0]["conv1.weight"])


def by_shape(network):
    """All starting values of the convolutions of one shape, where they are enough to tell 2 % of a deviation."""
    found = {}
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            found.setdefault(tuple(layer.weight.shape), []).append(layer.weight.detach().flatten())
    together = {shape: torch.cat(values) for shape, values in found.items()}
    return {shape: values for shape, values in together.items() if len(values) > 9_000}


@pytest.mark.parametrize(
    ("build", "size", "fan"),
    [(cifar_resnet, (20, 32), 0), (imagenet_resnet, (2, 64), 1), (wide_resnet, (16, 4), 0)],
    ids=["cifar-fan-out", "imagenet-fan-in", "wide-fan-out"],
)
def test_convolutions_start_normal_by_the_fan_of_their_recipe(build, size, fan):
    torch.manual_seed(0)
    groups = by_shape(build(*size, 10, 3, nothing))
    assert any(shape[0] != shape[1] for shape in groups)  # else the two fans are one
    for shape, values in groups.items():
        std = (2 / (shape[fan] * shape[2] * shape[3])) ** 0.5
        assert values.std().item() == pytest.approx(std, rel=0.02)
        assert abs(values.mean().item()) < 4 * std / len(values) ** 0.5
        assert (values.abs() > 2 * std).float().mean().item() == pytest.approx(0.0455, rel=0.2)  # a uniform has none


def test_a_wide_resnets_classifier_starts_uniform_by_the_number_of_classes():
    torch.manual_seed(0)
    classifier = wide_resnet(16, 4, 100, 3, GHOST).fc
    assert classifier.weight.std().item() == pytest.approx(0.1 / 3**0.5, rel=0.02)
    assert 0.099 < classifier.weight.abs().max().item() <= 0.1
    assert torch.equal(classifier.bias, torch.zeros(100))


@EACH
def test_norms_start_at_one_and_zero_the_last_of_a_block_too(build):
    layers = [layer for layer in small(build).modules() if isinstance(layer, GhostNorm)]
    assert all(layer.weight.eq(1).all() and layer.bias.eq(0).all() for layer in layers)


@EACH
def test_dropout_acts_in_training_only(build):
    plain, dropping = small(build), small(build, dropout=0.5)
    x = draw(4, 3, 32, 32)
    assert_close(dropping.eval()(x), plain.eval()(x), rtol=0, atol=0)
    assert not torch.equal(dropping.train()(x), dropping(x))


@EACH
def test_dropout_is_between_the_convolutions_of_each_block(build):
    network = small(build, nothing, dropout=0.5)
    zeros = []
    for name, layer in network.named_modules():
        if name.endswith(".conv2"):
            layer.register_forward_pre_hook(lambda layer, given: zeros.append(given[0].eq(0).float().mean().item()))
    network.train()(draw(8, 3, 64, 64))
    dropped, zeros = zeros, []
    network.eval()(draw(8, 3, 64, 64))
    assert dropped[0] == pytest.approx(0.75, abs=0.1)  # half by the ReLU, half of the rest by dropout
    assert all(more - fewer > 0.1 for more, fewer in zip(dropped, zeros, strict=True))


@pytest.mark.parametrize(
    ("build", "pixels"), [(cifar_resnet, 8), (cifar_resnet, 28), (imagenet_resnet, 28), (imagenet_resnet, 32)]
)
@pytest.mark.parametrize("norm", [partial(GhostNorm, gm=2), partial(SeqNorm, gc=8, gm=2)], ids=["ghost", "seq"])
def test_small_images_leave_every_group_more_than_one_value(build, pixels, norm):
    torch.manual_seed(0)
    network = build(*{cifar_resnet: (14, 8), imagenet_resnet: (2, 8)}[build], 5, 1, norm)
    output = network(draw(4, 1, pixels, pixels))
    output.square().sum().backward()
    assert output.shape == (4, 5)
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


@EACH
def test_channels_are_those_of_the_images(build):
    for channels in (1, 4):
        network = build(
            *{cifar_resnet: (8, 8), imagenet_resnet: (1, 8), wide_resnet: (10, 1)}[build], 5, channels, GHOST
        )
        assert network(draw(2, channels, 32, 32)).shape == (2, 5)
