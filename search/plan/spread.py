"""The spread of candidates over their seeds: pooled where it is the same, and tested where it is not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from search.plan.candidates import Candidate
from search.plan.distributions import f_tail

LEVEL = 0.05  # of the test of one candidate's spread against that of the others
LARGEST_RATIO = 1e100  # of two standard deviations: its square is a number


@dataclass(frozen=True)
class Spread:
    """A standard deviation with its degrees of freedom."""

    std: float
    freedom: int


def own_spread(candidate: Candidate) -> Spread | None:
    """Return a candidate's own spread; None without a second seed."""
    return None if candidate.std is None or candidate.n < 2 else Spread(candidate.std, candidate.n - 1)


def pool(candidates: Sequence[Candidate]) -> Spread | None:
    """Return the spread pooled over candidates, weighted by degrees of freedom; None if none has a second seed."""
    spreads = [spread for each in candidates if (spread := own_spread(each))]
    freedom = sum(spread.freedom for spread in spreads)
    if not freedom:
        return None
    deviations = (math.sqrt(spread.freedom) * spread.std for spread in spreads)
    return Spread(math.hypot(*deviations) / math.sqrt(freedom), freedom)


def find_noisy(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates whose spread is significantly larger than that of the others.

    Each variance is tested against the pooled variance of all others, with an F test at ``LEVEL``. With two seeds a
    candidate has to spread several times as much as the others; with one seed nothing can be said.
    """
    return [each for each in candidates if _is_noisy(each, [other for other in candidates if other is not each])]


def _is_noisy(candidate: Candidate, others: Sequence[Candidate]) -> bool:
    own, rest = own_spread(candidate), pool(others)
    if own is None or rest is None or not rest.std:
        return False  # figures that repeat to the last digit say nothing about spread
    ratio = min(own.std / rest.std, LARGEST_RATIO)
    return f_tail(ratio**2, own.freedom, rest.freedom) < LEVEL
