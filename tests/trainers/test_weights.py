"""A finished trial's network, read back: it classifies images as they are, as well as the trial said."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from trainers.checkpoint import Checkpoint
from trainers.data import digits, mnist
from trainers.data.split import cap_splits
from trainers.descriptors.digits_mlp import RECIPE as DIGITS
from trainers.recipe import RecipeError, find, resolve
from trainers.trial import Params
from trainers.weights import load_model

CONVOLUTIONS = {"depth": 8, "width": 4, "epochs": 2, "batch": 64, "learning_rate": 0.02, "pad": 1}


@pytest.fixture(scope="module")
def mnist_images():
    """640 of the real images."""
    return mnist.load(find("mnist-simplenet").with_overrides({"subset": 640}), None, Path("nowhere"))


def finished(folder, recipe="digits-mlp", data=None, report=lambda **figures: None, **changes):
    """Train on real images; return the result, measured on the test set, and the images."""
    small = {"digits-mlp": {"epochs": 3}, "cifar10-resnet56": CONVOLUTIONS}.get(recipe, {})
    own = {key: changes.pop(key) for key in tuple(changes) if key not in Params.__dataclass_fields__}
    numbers = find(recipe).with_overrides({"device": "cpu", **small, **own})
    data = data or digits.load(numbers, None, folder)
    point = {"gm": 4, "gc": 2, "seed": 0, "measure": "test", "folder": folder, **changes}
    result = resolve(find(recipe).run)(Params(numbers=numbers, data=data, recipe=recipe, **point), report)
    return result, data


def as_they_are(pixels):
    """Return uint8 images ``(M, C, H, W)``."""
    images = torch.tensor(pixels)
    return images.unsqueeze(1) if images.dim() == 3 else images.permute(0, 3, 1, 2)


@torch.no_grad()
def check_accuracy(model, images, expected):
    """Check a network's accuracy on the test set, but for images that rounding may give another class.

    The trial has seen them in another memory layout, which another kernel may have served.
    """
    logits = model(as_they_are(images.test_x))
    best, second = logits.topk(2).values.unbind(1)
    undecided = (best - second < 1e-4 * logits.abs().amax()).float().mean().item()
    accuracy = (logits.argmax(dim=1) == torch.tensor(images.test_y)).sum().item() / len(images.test_y)
    assert undecided < 0.1
    assert accuracy == pytest.approx(expected, rel=0, abs=undecided)


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [
        ("digits-mlp", {}),
        ("digits-mlp", {"gc": 0}),
        ("digits-mlp", {"noise": 0.1, "dropout": 0.1, "accumulate": 2}),
        ("digits-mlp", {"gm": 0, "gc": 0, "normalize": False}),
        ("cifar10-resnet56", {"standardize_weights": True}),
        ("cifar10-resnet56", {"standardize_weights": True, "gc": 0, "channels_last": False, "mixup": 0.2}),
        ("cifar10-resnet56", {"precision": "bf16"}),
    ],
    ids=lambda of: of if isinstance(of, str) else ",".join(of),
)
def test_a_loaded_network_is_as_accurate_on_images_as_its_trial_was(recipe, changes, tmp_path):
    result, images = finished(tmp_path, recipe, **changes)
    check_accuracy(load_model(tmp_path), images, result.value)


def test_mnist_is_classified_as_the_trial_said(mnist_images, tmp_path):
    numbers = {"batch": 64, "epochs": 2, "learning_rate": 0.2}
    result, images = finished(tmp_path, "mnist-simplenet", mnist_images, **numbers)
    assert result.fault() is None
    check_accuracy(load_model(tmp_path), images, result.value)


def test_colour_images_keep_the_standard_that_their_recipe_fixes(mnist_images, tmp_path):
    grey = cap_splits(mnist_images, 192, seed=0)
    tinted = {
        name: np.pad(np.stack([of, of // 2, 255 - of], axis=3), ((0, 0), (2, 2), (2, 2), (0, 0)))
        for name, of in vars(grey).items()
        if name.endswith("_x")
    }
    images = replace(grey, **tinted)
    small = {"depth": 10, "width": 1, "batch": 64, "epochs": 1, "devices": 1, "cutout": 0}
    result, _ = finished(tmp_path, "cifar10-wrn28x10", images, gc=0, **small)
    model = load_model(tmp_path)
    assert model.standardizer.mean == pytest.approx((125.3, 123.0, 113.9), abs=0.1)  # CIFAR-10's
    assert model.standardizer.std == pytest.approx((63.0, 62.1, 66.7), abs=0.1)
    check_accuracy(model, images, result.value)


def test_a_network_is_found_by_its_file_as_by_its_folder(tmp_path):
    result, images = finished(tmp_path)
    for name in (str(tmp_path), tmp_path / "checkpoint.pt"):
        check_accuracy(load_model(name), images, result.value)


def test_a_loaded_network_evaluates_each_image_by_itself(tmp_path):
    _, images = finished(tmp_path, "cifar10-resnet56")
    model = load_model(tmp_path)
    assert not model.training
    pixels = as_they_are(images.test_x[:8])
    alone = torch.cat([model(pixels[row : row + 1]) for row in range(8)])
    torch.testing.assert_close(model(pixels), alone)


def test_a_trial_that_was_stopped_can_be_loaded_as_it_was(tmp_path):
    seen = []

    def report(*, epoch, validation_accuracy, **figures):
        seen.append(validation_accuracy)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        finished(tmp_path, report=report)
    images = digits.load(DIGITS.numbers(), None, Path())
    validated = replace(images, test_x=images.validation_x, test_y=images.validation_y)
    check_accuracy(load_model(tmp_path), validated, seen[0])


@pytest.mark.parametrize("name", ["nowhere", "nowhere/checkpoint.pt", ""])
def test_a_folder_without_a_checkpoint_is_refused(name, tmp_path):
    with pytest.raises(RecipeError) as caught:
        load_model(tmp_path / name)
    assert str(caught.value) == (
        f"a folder with a trial's checkpoint is needed: got {tmp_path / name}. seqnorm show ID names one."
    )


def changed(folder, **changes):
    """Change what a finished trial has kept; return the message that it is refused with."""
    finished(folder, epochs=1)
    checkpoint = Checkpoint(folder)
    checkpoint.save({**checkpoint.load(), **changes})
    with pytest.raises(RecipeError) as caught:
        load_model(folder)
    return str(caught.value)


def test_a_checkpoint_of_another_version_is_refused(tmp_path):
    assert changed(tmp_path, format=1) == (
        "a checkpoint must have format 2: got 1, of another version. "
        "Use that version, or remove the trial's folder to train from scratch."
    )


def test_a_network_of_a_recipe_that_is_not_installed_is_refused(tmp_path):
    message = changed(tmp_path, made_by={"recipe": "lost"})
    assert message.startswith("no recipe is named 'lost'. Known: ")


def test_a_network_of_a_recipe_that_does_not_name_it_is_refused(tmp_path):
    assert changed(tmp_path, made_by={"recipe": "planted"}) == (
        "a recipe must name its network to load it: got planted without `build`."
    )
