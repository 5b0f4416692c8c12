"""Tails of distributions, against SciPy, which the product does not load."""

import pytest
from scipy import stats

from search.plan.distributions import f_tail, t_quantile


@pytest.mark.parametrize("freedom", [1, 2, 3.3, 10, 1e6])
def test_quantiles_of_students_t_are_scipys(freedom):
    for tail in (0.3, 0.025, 0.005, 1e-6):
        assert t_quantile(tail, freedom) == pytest.approx(stats.t.isf(tail, freedom), rel=1e-7)


@pytest.mark.parametrize(("above", "below"), [(1, 1), (1, 4), (2, 10), (20, 3), (40, 100)])
def test_tails_of_f_are_scipys(above, below):
    for ratio in (0.0, 0.01, 0.5, 1.0, 25.0, 1e200):
        assert f_tail(ratio, above, below) == pytest.approx(stats.f.sf(ratio, above, below), rel=1e-9, abs=1e-15)
