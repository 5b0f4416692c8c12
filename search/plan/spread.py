"""The spread of candidates over their seeds: pooled where it is the same, and tested where it is not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from search.plan.candidates import Candidate
from search.plan.distributions import f_tail

LEVEL = 0.01  # of the F test of one spread against the calmer ones
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
    return reduce(_join, spreads) if spreads else None


def find_noisy(candidates: Sequence[Candidate], level: float = LEVEL) -> list[Candidate]:
    """Return the candidates whose spread is significantly larger than that of the others.

    The calmer half is taken to be alike. Going up from there, each variance is tested against the pooled variance of
    all that are calmer, with an F test at ``LEVEL``; what follows a noisy one is noisy. So several noisy candidates do
    not hide each other. With three seeds, a spread has to be 3.3 times that of three others; one seed has none to test.
    """
    spread_out = sorted(
        (each for each in candidates if own_spread(each)),
        key=lambda each: (each.std, each.n, each.gm, each.gc, each.variant),
    )
    alike = (len(spread_out) + 1) // 2
    below = pool(spread_out[:alike])
    for position in range(alike, len(spread_out)):
        own = own_spread(spread_out[position])
        assert own is not None
        assert below is not None
        if own.std > below.std > 0:  # figures that repeat to the last digit say nothing about spread
            ratio = min(own.std / below.std, LARGEST_RATIO)
            if f_tail(ratio**2, own.freedom, below.freedom) < level:
                return spread_out[position:]
        below = _join(below, own)
    return []


def _join(one: Spread, other: Spread) -> Spread:
    freedom = one.freedom + other.freedom
    deviation = math.hypot(one.std * math.sqrt(one.freedom), other.std * math.sqrt(other.freedom))
    return Spread(deviation / math.sqrt(freedom), freedom)
