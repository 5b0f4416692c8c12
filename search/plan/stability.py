"""Which candidates are stable, and how far behind the best mean one still performs well."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from search.plan.candidates import Candidate, Mode, Point
from search.plan.spread import LEVEL, find_noisy, own_spread, pool
from search.vocabulary.formatting import format_figure, format_metric

SINGLE_REPLICATE_TOLERANCE = 0.001  # of an accuracy, or relative to a loss; a single replicate has no spread


def find_unstable(candidates: Sequence[Candidate]) -> dict[Point, str]:
    """Return the points that are not stable, with the reason.

    A candidate is stable if every replicate finished, with a finite figure, and if its spread over seeds is not
    significantly larger than that of the others (see :func:`search.plan.spread.find_noisy`).
    """
    reasons = {each.point: reason for each in candidates if (reason := _failure(each))}
    finished = [each for each in candidates if each.point not in reasons]
    noisy = find_noisy(finished)
    calm = pool([each for each in finished if each not in noisy])
    for each in noisy:
        assert each.std is not None
        assert calm is not None
        reasons[each.point] = (
            f"out: its spread, {format_metric(each.std)}, is significantly larger than that of the others, "
            f"{format_figure(calm.std)} (F test, {LEVEL:.0%})"
        )
    return reasons


@dataclass(frozen=True)
class Tolerance:
    """How far behind the best mean a candidate still performs well, in units of the metric."""

    width: float
    own: Mapping[Point, float]  #: narrower ones, of candidates that spread more than the others

    def of(self, candidate: Candidate) -> float:
        """Return a candidate's tolerance."""
        return self.own.get(candidate.point, self.width)


def find_tolerance(stable: Sequence[Candidate], mode: Mode, tolerance: float | Literal["auto"]) -> Tolerance:
    """Return the tolerance of stable candidates: as given, or :func:`auto_tolerance`.

    A candidate's own noise does not widen the tolerance that it is judged by: if the others spread less than all do
    together, it is judged by theirs.
    """
    if tolerance != "auto":
        return Tolerance(float(tolerance), {})
    width = auto_tolerance(stable, mode)
    spreads = {each.point: spread for each in stable if (spread := own_spread(each))}
    if len(spreads) < 2 or min(each.n for each in stable) < 2 or not width:
        return Tolerance(width, {})
    largest = max(spread.std for spread in spreads.values())  # squares of huge losses would overflow
    squares = {point: spread.freedom * (spread.std / largest) ** 2 for point, spread in spreads.items()}
    total, freedom = math.fsum(squares.values()), sum(spread.freedom for spread in spreads.values())
    own = {}
    for point, spread in spreads.items():
        others = max(0.0, total - squares[point]) / (freedom - spread.freedom)
        if others < total / freedom:
            own[point] = width * math.sqrt(others / (total / freedom))
    return Tolerance(width, own)


def auto_tolerance(stable: Sequence[Candidate], mode: Mode = "max") -> float:
    """Return s/√n: the standard error of a mean, from the spread of all stable candidates.

    s is the std pooled over them and n their smallest number of replicates. At n = 1 it is 0.001, or a thousandth of
    the smallest loss if lower is better: losses have any scale.
    """
    n = min((candidate.n for candidate in stable), default=1)
    spread = pool(stable)
    if n < 2 or spread is None:
        unit = abs(min(each.mean or 0.0 for each in stable)) if stable and mode == "min" else 1.0
        return SINGLE_REPLICATE_TOLERANCE * unit
    return spread.std / math.sqrt(n)


def _failure(candidate: Candidate) -> str | None:
    if candidate.refused:
        return f"out: {candidate.refused}"
    if candidate.failed:
        return f"out: {candidate.failed} of {candidate.n + candidate.failed} replicates failed"
    if candidate.mean is None or not math.isfinite(candidate.mean):
        return "out: no replicate finished with a finite metric"
    return None
