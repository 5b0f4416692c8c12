"""The training loop on the real digits."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from seqnorm import GhostNorm
from trainers.data import digits
from trainers.data.split import Images
from trainers.descriptors.digits_mlp import DigitsNumbers
from trainers.loop import batches, evaluate, standardise, train, train_epoch
from trainers.recipes.digits_mlp import run
from trainers.trial import Diverged, Params, Stopped


@pytest.fixture(scope="module")
def images():
    return digits.load(DigitsNumbers(), None, Path())


def trial(images, seed=0, numbers=None, **changes):
    """Train by hand; return the result and the figures of each epoch, but for the time it took."""
    numbers = {"epochs": 2, "width": 32, **(numbers or {})}
    reports = []
    params = Params(**{"gm": 4, "gc": 2, "seed": seed, "numbers": DigitsNumbers(**numbers), "data": images, **changes})
    result = run(params, lambda **figures: reports.append(figures))
    return result, [{name: value for name, value in figures.items() if name != "seconds"} for figures in reports]


def order(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_same_seed_gives_the_same_bits(images):
    first = trial(images, seed=3)
    torch.rand(5)  # whatever ran in between
    assert trial(images, seed=3) == first


def test_another_seed_gives_other_bits(images):
    _, first = trial(images, seed=3)
    _, other = trial(images, seed=4)
    assert first[0]["train_loss"] != other[0]["train_loss"]


def test_the_seed_moves_the_initial_weights(images):
    untrained = {"numbers": {"learning_rate": 0.0, "epochs": 1}, "normalize": False}
    first, other = (trial(images, seed=seed, **untrained)[1][0] for seed in (0, 1))
    assert first["validation_loss"] != other["validation_loss"]


def test_the_seed_moves_the_order_of_the_data(images):
    params = Params(gm=0, gc=0, seed=0, numbers=DigitsNumbers(epochs=1), data=images)
    losses = []
    for seed in (0, 1):
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        nn.init.zeros_(model[1].weight)
        nn.init.zeros_(model[1].bias)
        train(model, images, replace(params, seed=seed), lambda **figures: losses.append(figures["train_loss"]))
    assert losses[0] != losses[1]


@pytest.mark.parametrize(("samples", "steps"), [(12, 3), (13, 3), (15, 3), (16, 4)])
def test_the_last_incomplete_batch_is_dropped(samples, steps):
    rows = list(batches(samples, 4, order()))
    assert [len(batch) for batch in rows] == [4] * steps
    assert len(torch.cat(rows).unique()) == 4 * steps


def test_epochs_differ_in_their_order():
    generator = order()
    assert not torch.equal(*(torch.cat(list(batches(16, 4, generator))) for _ in range(2)))


def test_the_training_loss_is_the_mean_over_the_steps():
    model = nn.Linear(2, 3)
    x, y = torch.randn(10, 2, generator=order()), torch.arange(10) % 3
    stuck = torch.optim.SGD(model.parameters(), lr=0.0)
    losses = [nn.functional.cross_entropy(model(x[rows]), y[rows]).item() for rows in batches(10, 4, order())]
    assert train_epoch(model, stuck, x, y, 4, order()) == pytest.approx(sum(losses) / 2)


def test_the_loss_falls_and_the_digits_are_learned(images):
    result, reports = trial(images, numbers={"epochs": 4})
    losses = [figures["train_loss"] for figures in reports]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] / 2
    assert result.value > 0.9
    assert result.fault() is None


def test_every_epoch_is_reported_once_and_the_last_is_the_result(images):
    result, reports = trial(images, numbers={"epochs": 3, "learning_rate": 0.1})
    assert [figures["epoch"] for figures in reports] == [1, 2, 3]
    assert {figures["learning_rate"] for figures in reports} == {0.1}
    assert result.value == reports[-1]["validation_accuracy"]
    assert (result.samples, result.classes) == (252, 10)


def test_a_report_can_stop_the_trial(images):
    heard = []

    def report(*, epoch, **figures):
        heard.append(epoch)
        if epoch == 2:
            raise Stopped

    with pytest.raises(Stopped):
        run(Params(gm=4, gc=0, seed=0, numbers=DigitsNumbers(), data=images), report)
    assert heard == [1, 2]


def test_a_loss_that_is_not_finite_diverges_before_its_epoch_is_reported(images):
    reports = []
    numbers = DigitsNumbers(learning_rate=1e8, epochs=3)
    params = Params(gm=0, gc=0, seed=0, numbers=numbers, data=images, normalize=False)

    with pytest.raises(Diverged, match=r"^the training loss is (nan|inf) in epoch 1$"):
        run(params, lambda **figures: reports.append(figures))
    assert reports == []


def test_the_test_measure_uses_the_test_split(images):
    wrong = replace(images, test_y=(images.test_y[:200] + 1) % 10, test_x=images.test_x[:200])
    validation, _ = trial(wrong)
    test, _ = trial(wrong, measure="test")
    assert validation.value > 0.8
    assert test.value < 0.1  # every label of the test split is wrong
    assert (validation.samples, test.samples) == (252, 200)


def test_measuring_on_the_test_split_trains_alike(images):
    assert trial(images, measure="test")[1] == trial(images)[1]


def test_the_test_split_does_not_influence_training(images):
    other = replace(images, test_x=images.test_x[::-1].copy(), test_y=images.test_y * 0)
    assert trial(other) == trial(images)


def test_training_pixels_become_zero_mean_and_unit_variance(images):
    inputs = standardise(images.train_x)(images.train_x)
    assert inputs.mean().item() == pytest.approx(0, abs=1e-5)
    assert inputs.std(correction=0).item() == pytest.approx(1, abs=1e-5)


def test_other_splits_are_standardised_with_the_training_pixels():
    to_input = standardise(np.array([0, 4], dtype=np.uint8))  # mean 2, standard deviation 2
    assert to_input(np.array([2, 6], dtype=np.uint8)).tolist() == [0, 2]


def test_blank_images_stay_finite():
    blank = np.zeros((2, 1, 1), dtype=np.uint8)
    assert standardise(blank)(blank).tolist() == [[[0]], [[0]]]


def test_measuring_in_chunks_is_measuring_at_once(images):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    x, y = standardise(images.train_x)(images.test_x), torch.tensor(images.test_y)
    loss, accuracy = evaluate(model, x, y)
    assert evaluate(model, x, y, chunk=100) == (pytest.approx(loss), accuracy)
    assert loss == pytest.approx(nn.functional.cross_entropy(model(x), y).item())
    assert accuracy == pytest.approx((model(x).argmax(dim=1) == y).float().mean().item())


def test_measuring_leaves_the_running_statistics_alone():
    model = GhostNorm(3, gm=2)
    evaluate(model, torch.randn(5, 3, generator=order()), torch.tensor([0, 1, 2, 0, 1]))
    assert model.num_batches_tracked == 0
    assert model.running_mean.tolist() == [0, 0, 0]


def test_read_only_images_are_taken(images):
    arrays = {name: value for name, value in vars(images).items() if isinstance(value, np.ndarray)}
    frozen = {name: array.copy() for name, array in arrays.items()}
    for array in frozen.values():
        array.flags.writeable = False  # as what Ray shares between processes
    shared = Images(**{**vars(images), **frozen})
    assert trial(shared) == trial(images)
