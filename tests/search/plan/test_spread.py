"""When a spread is significantly larger than that of the others."""

import pytest

from search.plan.candidates import Candidate
from search.plan.spread import Spread, find_noisy, pool


def spreading(*stds, n=3):
    return [Candidate(gm=2**i, gc=0, mean=0.9, std=std, n=n) for i, std in enumerate(stds)]


def test_a_pool_weighs_variances_by_their_degrees_of_freedom():
    narrow, wide = Candidate(1, 0, 0.9, std=0.01, n=3), Candidate(2, 0, 0.9, std=0.03, n=2)
    assert pool([narrow, wide]) == Spread(pytest.approx((0.0011 / 3) ** 0.5), 3)
    assert pool([Candidate(1, 0, 0.9, std=None, n=1)]) is None


def test_a_candidate_that_spreads_five_times_as_much_is_noisy():
    measured = spreading(0.002, 0.002, 0.002, 0.010)
    assert find_noisy(measured) == measured[3:]


def test_noisy_candidates_do_not_hide_each_other():
    measured = spreading(0.002, 0.010, 0.002, 0.012, 0.002)
    assert find_noisy(measured) == [measured[1], measured[3]]


def test_one_that_spreads_twice_as_much_is_not():
    assert find_noisy(spreading(0.002, 0.002, 0.002, 0.004)) == []


def test_two_seeds_each_do_not_exclude_the_spread_that_the_paper_kept():
    assert find_noisy(spreading(0.002, 0.001, 0.001, 0.005, 0.005, n=2)) == []  # CIFAR-100, table 1


@pytest.mark.parametrize("measured", [[], spreading(0.1), spreading(0.0, 0.1), spreading(None, 0.1, n=1)])
def test_nothing_is_noisy_where_nothing_can_be_compared(measured):
    assert find_noisy(measured) == []
