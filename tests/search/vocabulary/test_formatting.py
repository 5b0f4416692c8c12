"""Figures and durations as people read them."""

from __future__ import annotations

import pytest

from search.plan.selection import Candidate
from search.vocabulary.formatting import format_duration, format_mean, format_mean_std, format_metric, format_numbers


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.95714, "0.9571"),
        (-46.2, "-46.2000"),
        (0.0, "0.0000"),
        (0.00096, "0.0010"),
        (0.000944, "0.00094"),
        (-0.000042, "-4.2e-05"),
        (None, "–"),
    ],
)
def test_a_metric_has_four_decimals_or_two_digits_if_these_would_hide_it(value: float | None, said: str) -> None:
    assert format_metric(value) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "–"),
        (0, "0.0 s"),
        (4.24, "4.2 s"),
        (45, "45 s"),
        (89.4, "89 s"),
        (90, "2 min"),
        (180, "3 min"),
        (5399, "1 h 30 min"),
        (7500, "2 h 5 min"),
    ],
)
def test_a_duration_is_said_as_people_do(seconds: float | None, said: str) -> None:
    assert format_duration(seconds) == said


def test_a_mean_has_its_spread_where_there_is_one() -> None:
    assert format_mean_std(Candidate(gm=1, gc=0, mean=0.95714, std=0.002, n=3)) == "0.9571 ± 0.0020"
    assert format_mean_std(Candidate(gm=1, gc=0, mean=0.95714, std=None, n=1)) == "0.9571"
    assert format_mean_std(Candidate(gm=1, gc=0, mean=None, std=None, n=0, failed=3)) == "–"


def test_a_mean_without_columns_says_its_replicates_standard_error_and_failures() -> None:
    assert format_mean(Candidate(gm=1, gc=0, mean=0.95714, std=0.004, n=4)) == "0.9571 (n=4, standard error 0.0020)"
    assert format_mean(Candidate(gm=1, gc=0, mean=0.95714, std=None, n=1, failed=2)) == "0.9571 (n=1, 2 failed)"
    assert format_mean(Candidate(gm=1, gc=0, mean=None, std=None, n=0, failed=3)) == "– (n=0, 3 failed)"


def test_numbers_are_written_as_they_are_typed() -> None:
    assert format_numbers({"epochs": 250, "mixup": 0.2, "flip": True, "model": "a"}) == (
        "epochs=250, mixup=0.2, flip=true, model=a"
    )
