"""Learning rates at every joint, against the figures of the paper and of NVIDIA's recipe."""

import math

import pytest

from trainers.recipe import find, resolve
from trainers.schedules import constant, epoch_cosine, one_cycle, warmup_cosine


def rates_of(recipe, steps, **overrides):
    """Return the schedule that a recipe makes of its numbers, with ``steps`` an epoch."""
    found = find(recipe)
    module = found.run.partition(":")[0]
    return resolve(f"{module}:schedule")(found.with_overrides(overrides), steps)


def near(figure):
    return pytest.approx(figure, rel=1e-9, abs=1e-12)


def test_a_constant_rate_is_the_same_at_every_step():
    rate = constant(0.4)
    assert [rate(step) for step in (0, 1, 10**6)] == [0.4] * 3


def test_warmup_rises_by_equal_steps_to_the_peak():
    rate = warmup_cosine(0.1, 0.5, warmup=4, steps=12)
    assert [rate(step) for step in range(5)] == [near(figure) for figure in (0.1, 0.2, 0.3, 0.4, 0.5)]


def test_the_cosine_falls_from_the_peak_to_zero_after_the_warmup():
    rate = warmup_cosine(0.1, 0.5, warmup=4, steps=12)
    assert rate(6) == near(0.25 * (1 + math.sqrt(0.5)))  # a quarter of the fall
    assert rate(8) == near(0.25)  # half of it
    assert 0 < rate(11) < 0.02
    assert rate(12) == near(0)  # the step that is not taken any more


def test_without_warmup_the_cosine_begins_at_the_peak():
    rate = warmup_cosine(0.1, 0.5, warmup=0, steps=8)
    assert (rate(0), rate(4), rate(8)) == (0.5, near(0.25), near(0))


def test_a_run_that_ends_in_its_warmup_never_reaches_the_peak():
    rate = warmup_cosine(0.0, 1.0, warmup=10, steps=5)
    assert [rate(step) for step in range(5)] == [near(figure) for figure in (0, 0.1, 0.2, 0.3, 0.4)]


def test_a_warmup_of_the_whole_run_ends_at_the_peak():
    assert warmup_cosine(0.0, 1.0, warmup=5, steps=5)(5) == 1.0


def test_a_cycle_goes_up_down_and_on_to_its_floor():
    rate = one_cycle(1.0, 5.0, 0.0, up=4, down=2, steps=10)
    assert [rate(step) for step in range(11)] == [near(figure) for figure in (1, 2, 3, 4, 5, 3, 1, 0.75, 0.5, 0.25, 0)]


def test_a_cycle_without_rise_begins_at_its_top():
    rate = one_cycle(1.0, 5.0, 0.0, up=0, down=2, steps=4)
    assert [rate(step) for step in range(4)] == [near(figure) for figure in (5, 3, 1, 0.5)]


def test_a_cycle_without_last_piece_ends_where_it_began():
    assert one_cycle(1.0, 5.0, 0.0, up=2, down=2, steps=4)(4) == 1.0


def test_an_epochs_rate_holds_for_all_of_its_steps():
    rate = epoch_cosine(1.0, warmup=2, epochs=4, steps_per_epoch=3)
    assert [rate(step) for step in range(12)] == [near(figure) for figure in [0.5] * 3 + [1.0] * 6 + [0.5] * 3]


def test_without_warmup_the_first_epoch_has_the_peak():
    rate = epoch_cosine(2.0, warmup=0, epochs=2, steps_per_epoch=5)
    assert (rate(0), rate(4), rate(5)) == (2.0, 2.0, near(1.0))


@pytest.mark.parametrize("recipe", ["digits-mlp", "mnist-simplenet"])
def test_recipes_of_plain_sgd_keep_their_rate(recipe):
    rate = rates_of(recipe, 117)
    assert rate(0) == rate(10**5) == find(recipe).numbers().learning_rate


@pytest.mark.parametrize("recipe", ["cifar10-wrn28x10", "cifar100-wrn28x10"])
def test_wide_resnet_rises_to_0_4_in_five_epochs_and_falls_to_zero_in_the_other_195(recipe):
    rate = rates_of(recipe, steps=87)  # 45,000 images in batches of 512
    assert rate(0) == near(0.1)
    assert rate(1) - rate(0) == near(0.3 / 435)  # the same at every step, not once an epoch
    assert rate(87) == near(0.16)
    assert rate(434) == near(0.4 - 0.3 / 435)
    assert rate(435) == near(0.4)
    assert rate(435 + 195 * 87 // 2) == pytest.approx(0.2, abs=1e-4)
    assert rate(17_399) == near(0.2 * (1 - math.cos(math.pi / 16_965)))  # the last of 200 epochs
    assert rate(17_400) == near(0)


def test_resnet56_goes_from_0_1_to_3_and_back_and_down_to_0_003():
    rate = rates_of("cifar10-resnet56", steps=87)
    assert rate(0) == near(0.1)
    assert rate(15 * 87 // 2) == pytest.approx(1.55, abs=2e-3)
    assert rate(15 * 87) == near(3.0)  # the end of epoch 15
    assert rate(30 * 87) == near(0.1)  # of epoch 30
    assert rate(35 * 87) == near(0.0515)
    assert rate(40 * 87 - 1) == near(0.003 + 0.097 / 870)  # the last step
    assert rate(40 * 87) == near(0.003)


def test_without_normalization_resnet56_peaks_at_1():
    rate = rates_of("cifar10-resnet56", 87, **find("cifar10-resnet56").unnormalized)
    assert (rate(0), rate(15 * 87)) == (near(0.1), near(1.0))


def test_a_shorter_run_of_resnet56_goes_through_the_whole_cycle():
    rate = rates_of("cifar10-resnet56", 87, epochs=8)  # a fifth
    assert (rate(0), rate(3 * 87), rate(6 * 87), rate(8 * 87)) == (near(0.1), near(3.0), near(0.1), near(0.003))


def test_a_longer_run_of_resnet56_stretches_the_last_piece_only():
    rate = rates_of("cifar10-resnet56", 87, epochs=80)
    assert (rate(15 * 87), rate(30 * 87), rate(55 * 87)) == (near(3.0), near(0.1), near(0.0515))


@pytest.mark.parametrize("epochs", [50, 250])
def test_resnet18_warms_up_in_eighths_and_follows_a_cosine_of_whole_epochs(epochs):
    rate = rates_of("imagenet-resnet18", steps=625, epochs=epochs)  # 1,281,167 images in batches of 2,048
    by_epoch = [rate(epoch * 625) for epoch in range(epochs)]
    assert by_epoch == [rate(epoch * 625 + 624) for epoch in range(epochs)]
    assert by_epoch[:8] == [near(2.048 * (epoch + 1) / 8) for epoch in range(8)]
    assert by_epoch[0] == near(0.256)
    assert by_epoch[7] == by_epoch[8] == near(2.048)
    falling = [2.048 * 0.5 * (1 + math.cos(math.pi * (epoch - 8) / (epochs - 8))) for epoch in range(8, epochs)]
    assert by_epoch[8:] == [near(figure) for figure in falling]
    assert by_epoch[-1] > 0


def test_own_images_warm_up_from_zero():
    rate = rates_of("images", steps=10)  # 2 of 30 epochs
    assert (rate(0), rate(10), rate(20), rate(160)) == (0.0, near(0.05), near(0.1), near(0.05))
    assert rate(300) == near(0)


@pytest.mark.parametrize(
    ("recipe", "overrides", "epochs"),
    [
        ("cifar10-wrn28x10", {}, 5),
        ("cifar10-wrn28x10", {"warmup_epochs": 0}, 1),
        ("cifar10-resnet56", {}, 15),
        ("cifar10-resnet56", {"epochs": 8}, 3),
        ("cifar10-resnet56", {"epochs": 1}, 1),
        ("imagenet-resnet18", {}, 8),
        ("images", {}, 2),
    ],
)
def test_a_network_may_guess_while_its_rate_rises(recipe, overrides, epochs):
    found = find(recipe)
    module = found.run.partition(":")[0]
    assert resolve(f"{module}:warmup")(found.with_overrides(overrides)) == epochs
