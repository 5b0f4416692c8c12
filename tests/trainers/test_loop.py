"""The training loop on the real digits."""

import math
import stat
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch._inductor.runtime.cache_dir_utils import cache_dir

from seqnorm import GhostNorm
from trainers.checkpoint import Checkpoint
from trainers.data import digits
from trainers.data.memory import InMemory
from trainers.data.split import Images
from trainers.devices import TrainingProcess
from trainers.loop import Task, evaluate, make_compile_cache, make_network, train, wrap_model
from trainers.recipe import find, resolve
from trainers.recipes.cifar10_resnet56 import schedule as cycle
from trainers.recipes.digits_mlp import build, schedule
from trainers.trial import Diverged, Params

HERE = TrainingProcess(torch.device("cpu"))
CONVOLUTIONS = {
    "depth": 8,
    "width": 4,
    "batch": 128,
    "epochs": 2,
    "learning_rate": 0.02,
    "pad": 1,
}  # of cifar10-resnet56
GUESSES = 0.1 + 3 * math.sqrt(0.1 * 0.9 / 252)  # of the validation split
LEARNED = 0.5  # guessing ends at 0.16 and these trainings above 0.85; rounding moves them by a few of 252 images


@pytest.fixture(scope="module")
def images():
    return digits.load(find("digits-mlp").numbers(), None, Path())


def params_of(images, recipe="digits-mlp", numbers=None, **changes):
    small = CONVOLUTIONS if recipe != "digits-mlp" else {"epochs": 2, "width": 32}
    numbers = find(recipe).with_overrides({"device": "cpu", **small, **(numbers or {})})
    return Params(**{"gm": 4, "gc": 2, "seed": 0, "numbers": numbers, "data": images, "recipe": recipe, **changes})


def trial(images, recipe="digits-mlp", numbers=None, **changes):
    """Train by hand; return the result and the figures of each epoch, but for the time it took."""
    reports = []
    params = params_of(images, recipe, numbers, **changes)
    result = resolve(find(recipe).run)(params, lambda **figures: reports.append(figures))
    return result, [{name: value for name, value in figures.items() if name != "seconds"} for figures in reports]


def diverged(images, *arguments, **changes):
    """Train until it diverges; return the message and the epochs that were reported."""
    epochs = []
    params = params_of(images, *arguments, **changes)
    with pytest.raises(Diverged) as caught:
        resolve(find(params.recipe).run)(params, lambda epoch, **figures: epochs.append(epoch))
    return str(caught.value), epochs


def silent(**figures):
    """Take figures that a test does not look at."""


def patient(numbers):
    return 99


class Steps:
    """Looks at every step, as a loss landscape does."""

    def __init__(self):
        self.losses, self.rates, self.labels, self.training, self.test_errors = [], [], [], [], []

    def wrap(self, step):
        def take(inputs, labels, rate):
            self.training.append(step.model.training)
            loss = step(inputs, labels, rate)
            self.losses.append(loss.item())
            self.rates.append(rate)
            self.labels.append(labels)
            return loss

        return take

    def end_epoch(self, test_error):
        self.test_errors.append(test_error)


@pytest.mark.parametrize(
    ("recipe", "numbers"),
    [
        ("digits-mlp", {"dropout": 0.1, "noise": 0.1}),
        ("cifar10-resnet56", {"cutout": 2, "randaugment_n": 1, "randaugment_m": 5, "dropout": 0.1, "mixup": 0.2}),
    ],
)
def test_the_same_seed_gives_the_same_bits(images, recipe, numbers):
    first = trial(images, recipe, numbers, seed=3)
    torch.rand(5)  # whatever ran in between
    assert trial(images, recipe, numbers, seed=3) == first


def test_another_seed_gives_other_bits(images):
    _, first = trial(images, seed=3)
    _, other = trial(images, seed=4)
    assert first[0]["train_loss"] != other[0]["train_loss"]


def test_the_seed_moves_the_initial_weights(images):
    untrained = {"numbers": {"learning_rate": 0.0, "epochs": 1}, "normalize": False}
    first, other = (trial(images, seed=seed, **untrained)[1][0] for seed in (0, 1))
    assert first["validation_loss"] != other["validation_loss"]


def zeros(numbers, shape, classes, norm):
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    return network


def test_the_seed_moves_the_order_of_the_data(images):
    losses = []
    for seed in (0, 1):
        steps = Steps()
        train(Task(build=zeros, schedule=schedule), params_of(images, seed=seed, observer=steps), silent, HERE)
        losses.append(steps.losses)
    assert losses[0][0] == losses[1][0]  # every class is as likely
    assert losses[0][1] != losses[1][1]


@pytest.mark.parametrize(("chance", "differ"), [({}, False), ({"dropout": 0.5}, True), ({"noise": 0.5, "gm": 1}, True)])
def test_every_epoch_draws_its_own_dropout_and_noise(images, chance, differ):
    same = replace(images, train_x=np.repeat(images.train_x[:1], 1295, axis=0), train_y=images.train_y * 0)
    steps = Steps()
    gm = chance.get("gm", 0)
    stuck = {"batch": 1295, "learning_rate": 0.0, **{name: of for name, of in chance.items() if name != "gm"}}
    params = params_of(same, numbers=stuck, normalize=gm > 0, gm=gm, gc=0, observer=steps)
    train(Task(build=build, schedule=schedule, warmup=patient), params, silent, HERE)
    assert (steps.losses[0] != steps.losses[1]) == differ


@pytest.mark.parametrize(("batch", "steps_of_an_epoch"), [(128, 10), (16, 80)])
def test_the_training_loss_is_the_mean_over_the_steps(images, batch, steps_of_an_epoch):
    steps = Steps()
    _, reports = trial(images, numbers={"batch": batch}, observer=steps)
    assert len(steps.losses) == 2 * steps_of_an_epoch
    halves = steps.losses[:steps_of_an_epoch], steps.losses[steps_of_an_epoch:]
    means = [sum(half) / steps_of_an_epoch for half in halves]
    rounding = steps_of_an_epoch * 2**-23  # of as many sums in single precision
    assert [figures["train_loss"] for figures in reports] == pytest.approx(means, rel=rounding)


def test_every_step_has_the_rate_of_its_schedule(images):
    steps = Steps()
    _, reports = trial(images, "cifar10-resnet56", {"epochs": 4}, observer=steps)
    expected = cycle(find("cifar10-resnet56").with_overrides({**CONVOLUTIONS, "epochs": 4}), 10)
    assert steps.rates == [expected(step) for step in range(40)]
    assert len(set(steps.rates)) > 20
    assert [figures["learning_rate"] for figures in reports] == [steps.rates[last] for last in (9, 19, 29, 39)]


def test_every_step_is_in_training_mode_though_epochs_are_evaluated(images):
    steps = Steps()
    trial(images, observer=steps)
    assert steps.training == [True] * 20


def test_the_loss_falls_and_the_digits_are_learned(images):
    result, reports = trial(images, numbers={"epochs": 4})
    losses = [figures["train_loss"] for figures in reports]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] / 2
    assert result.value > LEARNED
    assert result.fault() is None


def test_convolutions_learn_the_digits(images):
    numbers = {"epochs": 6, "batch": 64, "learning_rate": 0.02, "width": 8, "flip": False, "pad": 0}
    result, reports = trial(images, "cifar10-resnet56", numbers)
    assert reports[-1]["train_loss"] < reports[0]["train_loss"] / 2
    assert result.value > LEARNED


def test_every_epoch_is_reported_once_and_the_last_is_the_result(images):
    result, reports = trial(images, numbers={"epochs": 3, "learning_rate": 0.1})
    assert [figures["epoch"] for figures in reports] == [1, 2, 3]
    assert {figures["learning_rate"] for figures in reports} == {0.1}
    assert result.value == reports[-1]["validation_accuracy"]
    assert (result.samples, result.classes) == (252, 10)


@pytest.mark.parametrize("recipe", ["digits-mlp", "cifar10-resnet56"])
def test_what_a_recipe_says_that_it_reports_is_reported(images, recipe):
    figures = []
    params = params_of(images, recipe, {"epochs": 1})
    resolve(find(recipe).run)(params, lambda epoch, **of: figures.append(of))
    assert tuple(figures[0]) == find(recipe).reports
    assert all(type(figure) is float and math.isfinite(figure) for figure in figures[0].values())


@pytest.fixture(scope="module")
def plain(images):
    """The training loss of an epoch of each recipe with its own numbers."""
    recipes = ("digits-mlp", "cifar10-resnet56")
    return {recipe: trial(images, recipe, {"epochs": 1})[1][0]["train_loss"] for recipe in recipes}


@pytest.mark.parametrize(
    ("recipe", "numbers"),
    [
        ("digits-mlp", {"batch": 64}),
        ("digits-mlp", {"learning_rate": 0.1}),
        ("digits-mlp", {"momentum": 0.5}),
        ("digits-mlp", {"weight_decay": 0.1}),
        ("digits-mlp", {"clip": 0.1}),
        ("digits-mlp", {"label_smoothing": 0.1}),
        ("digits-mlp", {"dropout": 0.1}),
        ("digits-mlp", {"noise": 0.1}),
        ("digits-mlp", {"ghost_first": True}),
        ("digits-mlp", {"shared_var": True}),
        ("digits-mlp", {"standardize_weights": True}),
        ("digits-mlp", {"precision": "bf16"}),
        ("digits-mlp", {"precision": "fp16"}),
        ("digits-mlp", {"devices": 2}),
        ("digits-mlp", {"width": 16}),
        ("cifar10-resnet56", {"flip": False}),
        ("cifar10-resnet56", {"pad": 0}),
        ("cifar10-resnet56", {"cutout": 2}),
        ("cifar10-resnet56", {"randaugment_n": 1, "randaugment_m": 10}),
        ("cifar10-resnet56", {"mixup": 0.2}),
        ("cifar10-resnet56", {"dropout": 0.1}),
        ("cifar10-resnet56", {"noise": 0.1}),
        ("cifar10-resnet56", {"standardize_weights": True}),
    ],
    ids=lambda of: of if isinstance(of, str) else ",".join(of),
)
def test_every_number_reaches_training(images, plain, recipe, numbers):
    _, [figures] = trial(images, recipe, {"epochs": 1, **numbers})
    assert figures["train_loss"] != plain[recipe]


@pytest.mark.parametrize(
    "numbers",
    [{"flip": True}, {"pad": 1}, {"cutout": 2}, {"randaugment_n": 1, "randaugment_m": 10}],
    ids=lambda of: next(iter(of)),
)
def test_every_augmentation_works_without_the_others(images, numbers):
    off = {"epochs": 1, "flip": False, "pad": 0}
    plain, changed = (trial(images, "cifar10-resnet56", {**off, **of})[1][0]["train_loss"] for of in ({}, numbers))
    assert changed != plain


def test_sparing_norms_from_decay_reaches_training(images):
    decay = {"epochs": 1, "weight_decay": 0.5}  # the recipe's own moves the loss by hardly more than rounding does
    all_, spared = (trial(images, "cifar10-resnet56", {**decay, "decay_norms": of})[1] for of in (True, False))
    assert all_ != spared


def test_nesterov_reaches_training(images):
    heavy, nesterov = (trial(images, numbers={"momentum": 0.5, "nesterov": of})[1] for of in (False, True))
    assert heavy != nesterov


def test_augmented_images_are_mixed_into_probabilities(images):
    steps = Steps()
    trial(images, "cifar10-resnet56", {"epochs": 1, "mixup": 0.2}, observer=steps)
    for labels in steps.labels:
        assert labels.shape == (128, 10)
        torch.testing.assert_close(labels.sum(dim=1), torch.ones(128))
    shares = {round(float(labels.max(dim=1).values.min()), 4) for labels in steps.labels}
    assert len(shares) > 5  # every step draws its own


def test_without_mixup_labels_are_classes(images):
    steps = Steps()
    trial(images, observer=steps)
    assert {(labels.dtype, labels.shape) for labels in steps.labels} == {(torch.int64, (128,))}


def weights(folder):
    return Checkpoint(folder).load()["network"]


@pytest.mark.parametrize("gc", [0, 4])
def test_passes_of_one_group_train_as_ghost_norm_does(images, gc, tmp_path):
    numbers = {"momentum": 0.5, "weight_decay": 1e-3, "clip": 1.0}
    _, ghost = trial(images, numbers=numbers, gc=gc, folder=tmp_path / "ghost")
    _, passes = trial(images, numbers={**numbers, "accumulate": 4}, gc=gc, folder=tmp_path / "passes")
    for one, other in zip(ghost, passes, strict=True):
        assert other["train_loss"] == pytest.approx(one["train_loss"], abs=1e-5)
        assert other["validation_loss"] == pytest.approx(one["validation_loss"], abs=1e-3)  # each pass moves averages
    theirs = weights(tmp_path / "passes")
    for name, weight in weights(tmp_path / "ghost").items():
        if "running" not in name and "tracked" not in name:
            torch.testing.assert_close(theirs[name], weight, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("channels_last", [False, True])
def test_networks_are_laid_out_as_their_images_are(channels_last):
    numbers = find("cifar10-resnet56").with_overrides({**CONVOLUTIONS, "channels_last": channels_last})
    params = Params(gm=4, gc=0, seed=0, numbers=numbers)
    network = make_network(resolve(find("cifar10-resnet56").build), params, (3, 8, 8), 10)
    weight = network.conv1.weight
    assert weight.is_contiguous(memory_format=torch.channels_last) == channels_last
    assert weight.is_contiguous() != channels_last


@pytest.mark.parametrize(("standardize", "free"), [(False, True), (True, False)])
def test_standardized_weights_are_those_of_convolutions(standardize, free):
    numbers = find("cifar10-resnet56").with_overrides({**CONVOLUTIONS, "standardize_weights": standardize})
    params = Params(gm=4, gc=0, seed=0, numbers=numbers)
    network = make_network(resolve(find("cifar10-resnet56").build), params, (3, 8, 8), 10)
    means = network.layer1[0].conv1.weight.mean(dim=(1, 2, 3))
    assert bool((means.abs() > 1e-3).any()) == free


def test_a_report_can_stop_the_trial(images):
    heard = []

    def report(*, epoch, **figures):
        heard.append(epoch)
        if epoch == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        resolve(find("digits-mlp").run)(params_of(images, numbers={"epochs": 5}), report)
    assert heard == [1, 2]


def test_a_trial_that_is_stopped_has_saved_the_epoch_it_reported(images, tmp_path):
    def report(*, epoch, **figures):
        if epoch == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        resolve(find("digits-mlp").run)(params_of(images, numbers={"epochs": 5}, folder=tmp_path), report)
    state = Checkpoint(tmp_path).load()
    assert (state["epoch"], state["result"]) == (2, None)


@pytest.mark.parametrize(("batch", "taken"), [(128, 10), (16, 64)])
def test_a_loss_that_is_not_finite_ends_the_trial_within_64_steps(images, batch, taken):
    steps = Steps()
    numbers = {"learning_rate": 1e8, "epochs": 3, "batch": batch}
    message, reported = diverged(images, numbers=numbers, normalize=False, gm=0, gc=0, observer=steps)
    assert message in ("the training loss is nan in epoch 1", "the training loss is inf in epoch 1")
    assert reported == []
    assert len(steps.losses) == taken


def test_a_loss_that_is_not_finite_in_the_middle_of_an_epoch_counts(images):
    class OneBadStep(Steps):
        def wrap(self, step):
            take = super().wrap(step)
            return lambda *batch: take(*batch) * (math.nan if len(self.losses) == 3 else 1)

    message, reported = diverged(images, observer=OneBadStep())
    assert (message, reported) == ("the training loss is nan in epoch 1", [])


def test_a_network_that_still_guesses_after_its_first_epoch_diverges(images):
    message, reported = diverged(images, numbers={"learning_rate": 0.0, "epochs": 3}, normalize=False)
    loss, accuracy = (float(message.split(start)[1].split()[0].rstrip(",")) for start in ("loss ", "accuracy "))
    assert message == (
        f"the network guesses in epoch 2: its training loss {loss:.4f} is no lower than log(10) = 2.3026, and its "
        f"accuracy {accuracy:.4f} not above 0.1567, which is chance"
    )
    assert loss >= math.log(10)
    assert accuracy <= GUESSES
    assert reported == [1]


def test_a_network_may_guess_while_its_rate_rises(images):
    numbers = {"learning_rate": 0.0, "epochs": 8, "subset": 256}  # a rise of three epochs
    small = digits.load(find("cifar10-resnet56").with_overrides({"subset": 256, "batch": 128}), None, Path())
    message, reported = diverged(small, "cifar10-resnet56", numbers)
    assert message.startswith("the network guesses in epoch 4: ")
    assert reported == [1, 2, 3]


def test_a_network_that_learns_what_validation_refutes_is_not_ended(images):
    wrong = replace(images, validation_y=(images.validation_y + 1) % 10)
    result, reports = trial(wrong, numbers={"epochs": 4})
    assert [figures["epoch"] for figures in reports] == [1, 2, 3, 4]
    assert reports[-1]["train_loss"] < 1
    assert result.value <= GUESSES
    assert "is at chance" in result.fault()


def test_a_network_whose_training_loss_stays_high_is_not_ended_if_it_does_well(images):
    class HighLoss(Steps):
        def wrap(self, step):
            take = super().wrap(step)
            return lambda *batch: take(*batch) + math.log(10)

    result, reports = trial(images, numbers={"epochs": 3}, observer=HighLoss())
    assert [figures["epoch"] for figures in reports] == [1, 2, 3]
    assert all(figures["train_loss"] >= math.log(10) for figures in reports)
    assert result.value > LEARNED


def test_the_test_measure_uses_the_test_split(images):
    wrong = replace(images, test_y=(images.test_y[:200] + 1) % 10, test_x=images.test_x[:200])
    validation, _ = trial(wrong)
    test, _ = trial(wrong, measure="test")
    assert validation.value > LEARNED
    assert test.value < 1 - LEARNED  # every label of the test split is wrong
    assert (validation.samples, test.samples) == (252, 200)


def test_measuring_on_the_test_split_trains_alike(images):
    assert trial(images, measure="test")[1] == trial(images)[1]


def test_the_test_split_does_not_influence_training(images):
    other = replace(images, test_x=images.test_x[::-1].copy(), test_y=images.test_y * 0)
    assert trial(other) == trial(images)


def test_a_walk_gets_the_test_error_of_every_epoch(images):
    steps = Steps()
    result, _ = trial(images, measure="test", observer=steps)
    assert len(steps.test_errors) == 2
    assert steps.test_errors[-1] == pytest.approx(1 - result.value)


def test_a_walk_changes_nothing(images):
    assert trial(images, observer=Steps()) == trial(images)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_evaluation_is_the_mean_over_a_split(images, split):
    source = InMemory(images, batch=128, process=HERE, seed=0)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    inputs, labels = map(torch.cat, zip(*source.evaluation(split), strict=True))
    logits = network(inputs)
    loss, accuracy = evaluate(network, source, split)
    expected = nn.functional.cross_entropy(logits, labels).item()
    assert loss == pytest.approx(expected, rel=len(labels) * 2**-23)  # sums in single precision, in any order
    assert accuracy == pytest.approx((logits.argmax(dim=1) == labels).float().mean().item())


def test_evaluation_in_pieces_is_evaluation_at_once(images):
    many = replace(images, test_x=np.resize(images.test_x, (20_000, 8, 8)), test_y=np.resize(images.test_y, 20_000))
    source = partial(InMemory, batch=128, process=HERE, seed=0)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    loss, accuracy = evaluate(network, source(many), "test")  # two pieces; 80 times the 250
    assert (pytest.approx(loss, rel=1e-5), pytest.approx(accuracy)) == evaluate(network, source(images), "test")


def test_evaluation_leaves_the_running_statistics_alone(images):
    network = nn.Sequential(nn.Flatten(), GhostNorm(64, gm=2), nn.Linear(64, 10))
    evaluate(network, InMemory(images, batch=128, process=HERE, seed=0), "test")
    assert network[1].num_batches_tracked == 0
    assert not network[1].running_mean.any()
    assert not network.training


def test_read_only_images_are_taken(images):
    arrays = {name: value for name, value in vars(images).items() if isinstance(value, np.ndarray)}
    frozen = {name: array.copy() for name, array in arrays.items()}
    for array in frozen.values():
        array.flags.writeable = False  # as what Ray shares between processes
    shared = Images(**{**vars(images), **frozen})
    assert trial(shared) == trial(images)


def test_compiled_programs_are_kept_where_no_other_user_can_plant_one(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "restored at the end")
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    wrap_model(nn.Linear(1, 1), find("cifar10-resnet56").with_overrides({"compile": True}), HERE)
    assert cache_dir() == str(tmp_path / "torchinductor")


def test_an_account_without_a_home_compiles_in_a_new_folder_of_its_own(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = make_compile_cache()
    assert (folder.parent, stat.S_IMODE(folder.stat().st_mode)) == (tmp_path, 0o700)
