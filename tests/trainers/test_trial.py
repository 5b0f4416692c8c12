"""When a finished trial counts as diverged."""

import math

import pytest

from trainers.trial import Result, chance_limit


def test_chance_ends_three_standard_errors_above_guessing():
    assert chance_limit(10, 100) == pytest.approx(0.1 + 3 * 0.03)  # a standard error of √(0.1 × 0.9 / 100)
    assert chance_limit(2, 2500) == pytest.approx(0.5 + 3 * 0.01)


def test_chance_comes_closer_to_guessing_with_more_samples():
    assert chance_limit(10, 10**8) == pytest.approx(0.1, abs=1e-4)


def test_an_accuracy_above_chance_is_sound():
    assert Result(value=0.191, samples=100, classes=10).fault() is None


@pytest.mark.parametrize("value", [0.19, 0.1, 0.0])
def test_an_accuracy_at_chance_is_a_fault(value):
    assert Result(value=value, samples=100, classes=10).fault() == (
        f"accuracy {value:.4f} is at chance: with 10 classes and 100 samples more than 0.1900 is needed"
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_metric_that_is_not_finite_is_a_fault(value):
    assert Result(value=value, samples=100, classes=10).fault() == f"the metric is not finite: {value}"


def test_a_metric_of_unknown_classes_is_not_compared_with_chance():
    assert Result(value=0.0).fault() is None
    assert Result(value=0.0, samples=100).fault() is None
