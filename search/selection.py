"""Which candidate a stage keeps, and why: pure functions over summaries of finished trials (design of the paper's
section 3.2: the largest G_M for which the network performs well, then the best G_C)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Rule = Literal["largest-stable", "best-mean"]
Axis = Literal["gm", "gc", "point"]
Mode = Literal["max", "min"]

SINGLE_REPLICATE_TOLERANCE = 0.001  # of the metric; one replicate has no spread to derive a tolerance from
ROUNDING_DIGITS = 12  # equal figures in another order or split may differ in the last bits of their mean and std
ROUNDING = 10.0**-ROUNDING_DIGITS


@dataclass(frozen=True)
class Point:
    """What is trained: a variant of the recipe with its groups."""

    variant: str
    gm: int
    gc: int

    def __str__(self) -> str:
        groups = f"gm={self.gm}, gc={self.gc}"
        return groups if self.variant == "main" else f"{self.variant}: {groups}"


@dataclass(frozen=True)
class Candidate:
    """A point summarised over its replicates."""

    gm: int
    gc: int
    mean: float | None  #: of the metric over finished replicates; None if there is none
    std: float | None  #: with n − 1 in the denominator; None at n = 1
    n: int  #: finished replicates
    failed: int = 0  #: replicates that diverged or otherwise did not finish
    variant: str = "main"

    @property
    def point(self) -> Point:
        """The point summarised."""
        return Point(self.variant, self.gm, self.gc)

    @property
    def sem(self) -> float | None:
        """Standard error of the mean; None at n = 1."""
        return None if self.std is None else self.std / math.sqrt(self.n)

    def as_json(self) -> dict[str, object]:
        """Return the fields and the standard error; a figure that is not finite is null, as JSON has none."""
        figures = {**asdict(self), "sem": self.sem}
        return {
            name: None if isinstance(figure, float) and not math.isfinite(figure) else figure
            for name, figure in figures.items()
        }


@dataclass(frozen=True)
class Choice:
    """What a stage kept."""

    point: Point | None  #: None if no candidate is stable
    evidence: dict[str, Any]  #: JSON: every candidate with why it was in or out, and the numbers of the rule
    sentence: str  #: the reason, for a person

    def as_json(self) -> dict[str, object]:
        """Return the choice as JSON."""
        return {
            "point": asdict(self.point) if self.point else None,
            "evidence": self.evidence,
            "sentence": self.sentence,
        }


def summarise(point: Point, values: Sequence[float], failed: int) -> Candidate:
    """Summarise a point's finished replicates."""
    n = len(values)
    mean = math.fsum(values) / n if n else None
    std = math.hypot(*(value - mean for value in values)) / math.sqrt(n - 1) if mean is not None and n > 1 else None
    return Candidate(gm=point.gm, gc=point.gc, mean=mean, std=std, n=n, failed=failed, variant=point.variant)


def choose(
    candidates: Sequence[Candidate],
    rule: Rule = "largest-stable",
    axis: Axis = "gm",
    mode: Mode = "max",
    tolerance: float | Literal["auto"] = "auto",
    reference: Candidate | None = None,
) -> Choice:
    """Choose among candidates.

    A candidate is stable if every replicate finished, with finite loss and above chance. ``largest-stable`` keeps the
    largest value of ``axis`` among stable candidates whose mean is within ``tolerance`` of the best stable mean;
    ``best-mean`` keeps the best mean. Ties go to the lower std, then the larger gm, then the larger gc.

    Args:
        candidates: what was measured.
        rule: how to choose.
        axis: the parameter that the stage searches.
        mode: whether higher or lower means are better.
        tolerance: how far from the best mean still counts as performing well, in units of the metric; ``auto`` derives
            it from the spread over replicates (see :func:`auto_tolerance`).
        reference: a candidate shown beside the others and compared with the winner, but not eligible.

    Returns:
        The choice with its evidence. Its point is None if no candidate is stable.
    """
    sign = 1 if mode == "max" else -1
    stable = [candidate for candidate in candidates if _instability(candidate) is None]
    width = auto_tolerance(stable) if tolerance == "auto" else float(tolerance)
    best = max((sign * _mean(candidate) for candidate in stable), default=None)
    close = [c for c in stable if best is not None and best - sign * _mean(c) <= width + ROUNDING]

    def spread_then_size(candidate: Candidate) -> tuple[float, int, int]:
        return (-round(candidate.std or 0.0, ROUNDING_DIGITS), candidate.gm, candidate.gc)

    def size(candidate: Candidate) -> tuple[int, ...]:
        return {"gm": (candidate.gm,), "gc": (candidate.gc,), "point": (candidate.gm, candidate.gc)}[axis]

    if rule == "largest-stable":
        winner = max(close, key=lambda c: (size(c), *spread_then_size(c)), default=None)
    else:
        tied = [c for c in stable if best is not None and best - sign * _mean(c) <= ROUNDING]
        winner = max(tied, key=spread_then_size, default=None)

    evidence = {
        "rule": rule,
        "axis": axis,
        "mode": mode,
        "tolerance": width,
        "tolerance_from": "auto" if tolerance == "auto" else "given",
        "best_mean": None if best is None else sign * best,
        "candidates": [
            {**candidate.as_json(), **_verdict(candidate, winner, rule, sign, best, width)} for candidate in candidates
        ],
        "reference": reference.as_json() if reference else None,
    }
    return Choice(
        point=winner.point if winner else None,
        evidence=evidence,
        sentence=_sentence(winner, close, candidates, rule, axis, mode, best, width, reference),
    )


def auto_tolerance(stable: Sequence[Candidate]) -> float:
    """Return s·√(2/n): the standard error of a difference of two means.

    s is the std pooled over the stable candidates and n their smallest number of replicates; 0.001 at n = 1.
    """
    n = min((candidate.n for candidate in stable), default=1)
    if n < 2:
        return SINGLE_REPLICATE_TOLERANCE
    freedom = sum(candidate.n - 1 for candidate in stable)
    deviations = (math.sqrt(candidate.n - 1) * (candidate.std or 0.0) for candidate in stable)
    return math.hypot(*deviations) / math.sqrt(freedom) * math.sqrt(2 / n)


def _mean(candidate: Candidate) -> float:
    assert candidate.mean is not None  # stable candidates have one
    return candidate.mean


def _instability(candidate: Candidate) -> str | None:
    """Say why a candidate is not stable; None if it is."""
    if candidate.failed:
        return f"out: {candidate.failed} of {candidate.n + candidate.failed} replicates failed"
    if candidate.mean is None or not math.isfinite(candidate.mean):
        return "out: no replicate finished with a finite metric"
    return None


def _verdict(
    candidate: Candidate, winner: Candidate | None, rule: Rule, sign: int, best: float | None, width: float
) -> dict[str, object]:
    """Say whether a candidate was in or out, and why, in numbers."""
    instability = _instability(candidate)
    if instability or best is None:
        return {"stable": False, "eligible": False, "chosen": False, "why": instability}
    gap = best - sign * _mean(candidate)
    inside = gap <= width + ROUNDING
    eligible = inside if rule == "largest-stable" else True
    behind = f"{gap:.4f} behind the best mean" if gap > ROUNDING else "the best mean"
    why = "chosen" if candidate is winner else f"{'in' if inside else 'out'}: {behind}"
    return {"stable": True, "eligible": eligible, "chosen": candidate is winner, "why": why}


def _sentence(
    winner: Candidate | None,
    close: Sequence[Candidate],
    candidates: Sequence[Candidate],
    rule: Rule,
    axis: Axis,
    mode: Mode,
    best: float | None,
    width: float,
    reference: Candidate | None,
) -> str:
    """Say what was chosen and why, for a person."""
    unstable = sum(_instability(candidate) is not None for candidate in candidates)
    if winner is None or best is None:
        return (
            f"Nothing was chosen: none of {len(candidates)} candidates is stable "
            "(every replicate finished, and above chance)."
        )
    name = {"gm": f"gm={winner.gm}", "gc": f"gc={winner.gc}", "point": f"gm={winner.gm}, gc={winner.gc}"}[axis]
    if winner.variant != "main":
        name = f"{winner.variant}: {name}"
    best_mean = best if mode == "max" else -best
    if rule == "largest-stable":
        value = {"gm": "gm", "gc": "gc", "point": "point"}[axis]
        said = (
            f"{name} is the largest stable {value} whose mean {_mean(winner):.4f} is within {width:.4f} of the best "
            f"mean {best_mean:.4f} ({len(close)} of {len(candidates)} candidates are)."
        )
    else:
        tied = sum(abs(_mean(c) - _mean(winner)) <= ROUNDING for c in close) > 1
        ties = " (ties to the lower std, then the larger gm and gc)" if tied else ""
        said = (
            f"{name} has the {'highest' if mode == 'max' else 'lowest'} mean, {_mean(winner):.4f}, "
            f"of {len(candidates) - unstable} stable candidates{ties}."
        )
    if unstable:
        said += f" {unstable} of {len(candidates)} candidates {'is' if unstable == 1 else 'are'} not stable."
    if reference is not None and reference.mean is not None:
        sign = 1 if mode == "max" else -1
        beaten = f"gm={reference.gm}, gc=0 ({reference.mean:.4f})"
        gain, lead = sign * (_mean(winner) - reference.mean), best - sign * reference.mean
        if gain > 0:
            said += f" It beats {beaten} by {gain:.4f}."
        elif lead > 0:  # largest-stable may keep another than the best
            said += f" It {f'is {-gain:.4f} behind' if gain else 'equals'} {beaten}."
        else:
            said += f" No SeqNorm beat {beaten}: the best {f'is {-lead:.4f} behind' if lead else 'equals it'}."
    return said
