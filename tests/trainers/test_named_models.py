"""Models of torchvision and timm by name."""

import sys
import warnings
from functools import partial

import pytest
import torch
import torchvision
from torch import nn
from torch.testing import assert_close

from seqnorm import BatchNorm, GhostNorm, SeqNorm
from trainers.models.named import named_model, torchvision_names
from trainers.recipe import RecipeError

GHOST = partial(GhostNorm, gm=2)


def nothing(num_channels):
    return nn.Identity()


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def refusal(reference, norm=GHOST):
    with pytest.raises(RecipeError) as refused:
        named_model(reference, 10, 3, norm)
    return str(refused.value)


@pytest.mark.parametrize("reference", ["torchvision:resnet18", "timm:resnet18", "torchvision:mobilenet_v3_small"])
@pytest.mark.parametrize("norm", [GHOST, partial(SeqNorm, gc=2, gm=2), nothing], ids=["ghost", "seq", "none"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_model_by_name_trains_with_the_norm_in_place_of_batch_norm(reference, norm, channels):
    torch.manual_seed(0)
    model = named_model(reference, 7, channels, norm)
    assert not any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in model.modules())
    output = model(draw(4, channels, 64, 64))
    assert output.shape == (4, 7)
    output.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("channels", [1, 3])
def test_a_model_of_torchvision_is_its_own_with_another_norm(channels):
    torch.manual_seed(0)
    ours = named_model("torchvision:resnet18", 7, channels, BatchNorm)
    theirs = torchvision.models.resnet18(num_classes=7)
    theirs.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
    theirs.load_state_dict(ours.state_dict())
    x = draw(4, channels, 32, 32)
    assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("norm", [GHOST, partial(SeqNorm, gc=4, gm=2), nothing], ids=["ghost", "seq", "none"])
def test_a_seed_gives_torchvisions_own_start_whatever_the_norm(norm):
    torch.manual_seed(5)
    theirs = torchvision.models.resnet18(num_classes=7)
    torch.manual_seed(5)
    ours = dict(named_model("torchvision:resnet18", 7, 3, norm).named_parameters())
    weights = {name: value for name, value in theirs.named_parameters() if value.dim() > 1}
    assert all(torch.equal(ours[name], value) for name, value in weights.items())


def test_another_number_of_channels_keeps_the_scale_that_the_model_starts_with():
    torch.manual_seed(0)
    stem = named_model("torchvision:resnet18", 7, 1, GHOST).conv1
    assert stem.in_channels == 1
    assert stem.weight.shape == (64, 1, 7, 7)
    assert stem.weight.std().item() == pytest.approx((2 / (64 * 7 * 7)) ** 0.5, rel=0.05)  # by fan-out, as torchvision
    assert (stem.stride, stem.padding, stem.bias) == ((2, 2), (3, 3), None)


def test_a_stem_with_a_bias_keeps_it():
    model = named_model("torchvision:vgg11_bn", 7, 1, GHOST)
    stem = model.features[0]
    assert stem.weight.shape == (64, 1, 3, 3)
    assert torch.equal(stem.bias, torch.zeros(64))


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_models_with_a_second_classifier_give_one_output_and_no_warning(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = named_model(f"torchvision:{name}", 7, 3, GHOST)
    output = model.train()(draw(2 if name == "googlenet" else 4, 3, 96, 96))
    assert isinstance(output, torch.Tensor)
    assert output.shape[1] == 7


def test_only_models_that_classify_images_are_known():
    names = torchvision_names()
    assert {"resnet18", "densenet121", "vgg11_bn"} <= set(names)
    assert not {"fcn_resnet50", "raft_small", "r3d_18", "fasterrcnn_resnet50_fpn", "quantized_resnet18"} & set(names)


def test_without_a_norm_no_activation_writes_over_a_shortcut():
    torch.manual_seed(0)
    model = named_model("timm:resnetv2_50", 5, 3, nothing).eval()  # norm and ReLU come before the shortcut forks off
    x = draw(2, 3, 32, 32)
    block = model.stages[0].blocks[1]
    given = draw(2, 256, 8, 8)
    kept = given.clone()
    block(given)
    assert torch.equal(given, kept)
    model.train()(x).sum().backward()


def test_with_a_norm_activations_stay_as_the_library_made_them():
    assert named_model("torchvision:resnet18", 5, 3, GHOST).relu.inplace


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("resnet18", "a model is torchvision:NAME or timm:NAME: got 'resnet18'. Try torchvision:resnet18, "),
        ("", "a model is torchvision:NAME or timm:NAME: got ''. Try torchvision:resnet18."),
        (
            "keras:resnet50",
            "a model is torchvision:NAME or timm:NAME: got 'keras:resnet50'. Try torchvision:resnet50, ",
        ),
        (
            "torchvision:resnet19",
            "torchvision has no model of that name for classifying images: got 'resnet19'. Try torchvision:resnet18, ",
        ),
        (
            "torchvision:ResNet18",
            "torchvision has no model of that name for classifying images: got 'ResNet18'. Try torchvision:resnet18, ",
        ),
        (
            "torchvision:fcn_resnet50",
            "torchvision has no model of that name for classifying images: got 'fcn_resnet50'. "
            "Try torchvision:resnet50, ",
        ),
        (
            "timm:efficientnet_b00",
            "timm has no model of that name for classifying images: got 'efficientnet_b00'. Try timm:efficientnet_b0, ",
        ),
        (
            "timm:hf-hub:someone/something",  # timm itself would fetch it
            "timm has no model of that name for classifying images: got 'hf-hub:someone/something'. Try timm:resnet18.",
        ),
    ],
)
def test_an_unknown_model_is_refused_with_the_names_that_come_close(reference, message):
    assert refusal(reference).startswith(message)


def test_without_timm_its_models_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    assert refusal("timm:resnet18") == (
        "timm must be installed for its models: got 'timm:resnet18'. Run pip install timm."
    )
    assert isinstance(named_model("torchvision:resnet18", 10, 3, GHOST), nn.Module)


@pytest.mark.parametrize("reference", ["torchvision:squeezenet1_1", "timm:convnext_atto"])
def test_a_model_without_batch_norm_is_refused(reference):
    assert refusal(reference) == (
        f"a model must have BatchNorm layers to tune: got {reference!r}, which has none. "
        "Choose another, e.g. torchvision:resnet18."
    )


def test_layers_that_the_norm_refuses_are_named_with_the_reason():
    def reason(path, width):
        return (
            f"{path}: gc must divide the channels: got gc=128 for {width} channels. "
            "Choose a divisor, or use GhostNorm for no GroupNorm half"
        )

    shown = "; ".join(reason(path, 64) for path in ("bn1", "layer1.0.bn1", "layer1.0.bn2"))
    message = refusal("torchvision:resnet18", partial(SeqNorm, gc=128, gm=2))
    assert message == (
        "every BatchNorm of a model must be swapped: got 'torchvision:resnet18', where 5 cannot: "
        f"{shown}; and 2 more. Choose another gc or another model."
    )
    assert "\n" not in message


def test_three_layers_or_fewer_are_all_named():
    def norm(num_channels):
        if num_channels == 128:
            raise ValueError("no.")
        return GhostNorm(num_channels, gm=2)

    message = refusal("torchvision:vgg11_bn", norm)
    assert message == (
        "every BatchNorm of a model must be swapped: got 'torchvision:vgg11_bn', where 1 cannot: features.5: no. "
        "Choose another model."
    )
