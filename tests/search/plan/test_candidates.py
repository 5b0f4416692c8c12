"""Summaries of a point's replicates."""

import math

import pytest

from search.plan.candidates import Candidate, Point, summarize


def test_mean_std_and_standard_error_are_those_calculated_by_hand():
    candidate = summarize(Point("main", 4, 2), [0.90, 0.92, 0.94], failed=0)
    assert candidate == Candidate(gm=4, gc=2, mean=pytest.approx(0.92), std=pytest.approx(0.02), n=3)
    assert candidate.sem == pytest.approx(0.0115470)  # 0.02 / √3
    assert candidate.point == Point("main", 4, 2)


def test_one_replicate_has_a_mean_and_no_spread():
    candidate = summarize(Point("main", 4, 2), [0.9], failed=0)
    assert (candidate.mean, candidate.std, candidate.sem, candidate.n) == (0.9, None, None, 1)


def test_no_replicate_has_neither_mean_nor_spread():
    candidate = summarize(Point("small", 4, 2), [], failed=3)
    assert candidate == Candidate(gm=4, gc=2, mean=None, std=None, n=0, failed=3, variant="small")
    assert candidate.sem is None


def test_order_of_replicates_does_not_change_a_summary():
    values = [0.1, 0.7, 0.2, 0.30000000000000004]
    assert summarize(Point("main", 1, 0), values, 0) == summarize(Point("main", 1, 0), values[::-1], 0)


def test_huge_losses_are_summarised_without_overflow():
    candidate = summarize(Point("main", 1, 0), [1e200, 3e200], failed=0)
    assert candidate.std == pytest.approx(math.sqrt(2) * 1e200)


def test_a_summary_keeps_the_figure_of_each_seed_where_seeds_are_known():
    candidate = summarize(Point("main", 4, 2), {7: 0.90, 3: 0.94}, failed=0)
    assert (candidate.mean, candidate.n, candidate.values) == (pytest.approx(0.92), 2, {7: 0.90, 3: 0.94})
    assert summarize(Point("main", 4, 2), [0.90, 0.94], failed=0).values is None
    assert "values" not in candidate.as_json()  # trials have them
