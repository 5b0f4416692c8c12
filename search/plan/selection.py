"""Choose the candidate that a stage keeps: pure functions over summaries of finished trials.

The paper's section 3.2 keeps the largest G_M for which the network performs well, then the best G_C.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from search.plan.candidates import Candidate, Mode, Point, summarize
from search.plan.comparison import compare
from search.plan.registry import OneOf

__all__ = [
    "RULES",
    "Candidate",
    "Choice",
    "Mode",
    "Point",
    "Rule",
    "RuleInput",
    "RuleResult",
    "auto_tolerance",
    "choose",
    "summarize",
]

POINT = "point"  # the axis of a stage that tunes several parameters at once
SINGLE_REPLICATE_TOLERANCE = 0.001  # of an accuracy, or relative to a loss; a single replicate has no spread
ROUNDING_DIGITS = 12  # the order of summation changes the last bits of mean and std
ROUNDING = 10.0**-ROUNDING_DIGITS


@dataclass(frozen=True)
class Choice:
    """The result of a stage."""

    base: Point | None  #: what the next axis is tuned on; None if no candidate is stable
    best: Point | None  #: what is reported: the best mean of the stable candidates; None if none is stable
    evidence: dict[str, Any]  #: JSON: every candidate with the reason it was in or out, and the numbers of the rule
    sentence: str  #: the reason, for a person

    @property
    def point(self) -> Point | None:
        """The point that the stage chose: its base."""
        return self.base

    @property
    def kept(self) -> list[Point]:
        """The points that a stage passes on: the best and, last, the base; one point if they are the same."""
        return list(dict.fromkeys(point for point in (self.best, self.base) if point))

    def as_json(self) -> dict[str, object]:
        """Return the choice as JSON."""
        return {
            "point": asdict(self.base) if self.base else None,
            "best": asdict(self.best) if self.best else None,
            "evidence": self.evidence,
            "sentence": self.sentence,
        }


@dataclass(frozen=True, kw_only=True)
class RuleInput:
    """The input of a rule; at least one candidate is stable."""

    stable: Sequence[Candidate]
    close: Sequence[Candidate]  #: stable ones within the tolerance of the best mean
    best: Sequence[Candidate]  #: stable ones with the best mean
    best_mean: float
    tolerance: float
    candidates: int  #: number of candidates, including unstable ones
    axis: str
    mode: Mode

    def axis_values(self, candidate: Candidate) -> tuple[int, ...]:
        """Return a candidate's values on the tuned axis, as a sort key."""
        return tuple(_values(candidate, self.axis).values())


@dataclass(frozen=True, kw_only=True)
class RuleResult:
    """The output of a rule."""

    winner: Candidate
    eligible: Sequence[Candidate]
    reason: str  #: completes a sentence that starts with the winner's name


def tie_break_key(candidate: Candidate) -> tuple[float, int, int]:
    """Return the sort key for ties: lower std wins, then larger gm, then larger gc."""
    return (-round(candidate.std or 0.0, ROUNDING_DIGITS), candidate.gm, candidate.gc)


def largest_stable(inputs: RuleInput) -> RuleResult:
    """Choose the largest value whose mean is within the tolerance of the best mean."""
    winner = max(inputs.close, key=lambda c: (inputs.axis_values(c), *tie_break_key(c)))
    return RuleResult(
        winner=winner,
        eligible=inputs.close,
        reason=f"is the largest stable {inputs.axis} whose mean {_mean(winner):.4f} is within "
        f"{inputs.tolerance:.4f} of the best mean {inputs.best_mean:.4f} "
        f"({len(inputs.close)} of {inputs.candidates} candidates are).",
    )


def best_mean(inputs: RuleInput) -> RuleResult:
    """Choose the best mean."""
    winner = max(inputs.best, key=tie_break_key)
    tied = sum(abs(_mean(c) - _mean(winner)) <= ROUNDING for c in inputs.close) > 1
    ties = " (ties to the lower std, then the larger gm and gc)" if tied else ""
    return RuleResult(
        winner=winner,
        eligible=inputs.stable,
        reason=f"has the {'highest' if inputs.mode == 'max' else 'lowest'} mean, {_mean(winner):.4f}, "
        f"of {len(inputs.stable)} stable candidates{ties}.",
    )


RULES: Mapping[str, Callable[[RuleInput], RuleResult]] = {"largest-stable": largest_stable, "best-mean": best_mean}
Rule = Annotated[str, OneOf(RULES)]


def choose(
    candidates: Sequence[Candidate],
    rule: Rule = "largest-stable",
    axis: str = "gm",
    mode: Mode = "max",
    tolerance: float | Literal["auto"] = "auto",
    reference: Candidate | None = None,
) -> Choice:
    """Choose one of the candidates.

    A candidate is stable if every replicate finished, with finite loss and above chance. ``largest-stable`` chooses the
    largest value of ``axis`` among stable candidates whose mean is within ``tolerance`` of the best stable mean;
    ``best-mean`` chooses the best mean. Ties go to the lower std, then the larger gm, then the larger gc.

    Args:
        candidates: the measured candidates.
        rule: one of ``RULES``.
        axis: the parameter that the stage tunes; ``point`` if it tunes several at once.
        mode: whether higher or lower means are better.
        tolerance: largest distance from the best mean that still performs well, in units of the metric; ``auto``
            derives it from the spread over replicates (see :func:`auto_tolerance`).
        reference: a candidate that is shown and compared with the winner, but not eligible.

    Returns:
        The choice with its evidence. Its point is None if no candidate is stable.
    """
    sign = 1 if mode == "max" else -1
    stable = [candidate for candidate in candidates if _instability_reason(candidate) is None]
    width = auto_tolerance(stable, mode) if tolerance == "auto" else float(tolerance)
    best = max((sign * _mean(candidate) for candidate in stable), default=None)
    result = inputs = None
    if best is not None:
        inputs = RuleInput(
            stable=stable,
            close=[c for c in stable if best - sign * _mean(c) <= width + ROUNDING],
            best=[c for c in stable if best - sign * _mean(c) <= ROUNDING],
            best_mean=sign * best,
            tolerance=width,
            candidates=len(candidates),
            axis=axis,
            mode=mode,
        )
        result = RULES[rule](inputs)

    eligible = set(result.eligible) if result else set()
    evidence = {
        "rule": rule,
        "axis": axis,
        "mode": mode,
        "tolerance": width,
        "tolerance_from": "auto" if tolerance == "auto" else "given",
        "best_mean": None if best is None else sign * best,
        "candidates": [
            {**candidate.as_json(), **_explain_candidate(candidate, result, eligible, sign, best, width)}
            for candidate in candidates
        ],
        "reference": reference.as_json() if reference else None,
    }
    return Choice(
        base=result.winner.point if result else None,
        best=max(inputs.best, key=tie_break_key).point if inputs else None,
        evidence=evidence,
        sentence=_sentence(result, candidates, axis, mode, reference),
    )


def auto_tolerance(stable: Sequence[Candidate], mode: Mode = "max") -> float:
    """Return s·√(2/n): the standard error of a difference of two means.

    s is the std pooled over the stable candidates and n their smallest number of replicates. At n = 1 it is 0.001, or a
    thousandth of the smallest loss if lower is better: losses have any scale.
    """
    n = min((candidate.n for candidate in stable), default=1)
    if n < 2:
        unit = abs(min(map(_mean, stable))) if stable and mode == "min" else 1.0
        return SINGLE_REPLICATE_TOLERANCE * unit
    freedom = sum(candidate.n - 1 for candidate in stable)
    deviations = (math.sqrt(candidate.n - 1) * (candidate.std or 0.0) for candidate in stable)
    return math.hypot(*deviations) / math.sqrt(freedom) * math.sqrt(2 / n)


def _mean(candidate: Candidate) -> float:
    assert candidate.mean is not None  # stable candidates have one
    return candidate.mean


def _instability_reason(candidate: Candidate) -> str | None:
    """Return why a candidate is not stable; None if it is."""
    if candidate.refused:
        return f"out: {candidate.refused}"
    if candidate.failed:
        return f"out: {candidate.failed} of {candidate.n + candidate.failed} replicates failed"
    if candidate.mean is None or not math.isfinite(candidate.mean):
        return "out: no replicate finished with a finite metric"
    return None


def _are_alike(candidates: Sequence[Candidate]) -> bool:
    """Return whether what was tuned changed nothing: several points have the same figures to the last digit.

    Two single trainings may agree by chance on a small validation split.
    """
    stable = [each for each in candidates if _instability_reason(each) is None]
    figures = {
        (round(_mean(each), ROUNDING_DIGITS), each.std and round(each.std, ROUNDING_DIGITS), each.n) for each in stable
    }
    return len(figures) == 1 and len(stable) > 1 and sum(each.n for each in stable) > 2


def _values(candidate: Candidate, axis: str) -> dict[str, int]:
    """Return a candidate's values of the tuned parameters, by name."""
    names = ("gm", "gc") if axis == POINT else (axis,)
    return {name: getattr(candidate, name) for name in names}


def _explain_candidate(
    candidate: Candidate,
    result: RuleResult | None,
    eligible: Container[Candidate],
    sign: int,
    best: float | None,
    width: float,
) -> dict[str, object]:
    """Return whether a candidate was in or out, and why, in numbers."""
    instability = _instability_reason(candidate)
    if instability or result is None or best is None:
        return {"stable": False, "eligible": False, "chosen": False, "why": instability}
    gap, chosen = best - sign * _mean(candidate), candidate is result.winner
    inside = gap <= width + ROUNDING
    behind = f"{gap:.4f} behind the best mean" if gap > ROUNDING else "the best mean"
    why = "chosen" if chosen else f"{'in' if inside else 'out'}: {behind}"
    return {"stable": True, "eligible": candidate in eligible, "chosen": chosen, "why": why}


def _sentence(
    result: RuleResult | None,
    candidates: Sequence[Candidate],
    axis: str,
    mode: Mode,
    reference: Candidate | None,
) -> str:
    """Return a sentence for users that says what was chosen and why."""
    unstable = sum(_instability_reason(candidate) is not None for candidate in candidates)
    if result is None:
        return (
            f"Nothing was chosen: none of {len(candidates)} candidates is stable "
            f"(every replicate finished{', and above chance' if mode == 'max' else ''})."
        )
    winner = result.winner
    name = ", ".join(f"{name}={value}" for name, value in _values(winner, axis).items())
    sentence = f"{name} {result.reason}" if winner.variant == "main" else f"{winner.variant}: {name} {result.reason}"
    if unstable:
        sentence += f" {unstable} of {len(candidates)} candidates {'is' if unstable == 1 else 'are'} not stable."
    if _are_alike(candidates):
        sentence += " All stable candidates gave the same figures: do gm and gc reach a norm?"
    if reference is not None:
        stable = [each for each in candidates if _instability_reason(each) is None]
        compared = compare(winner, reference, mode, among=stable)
        sentence += f" It is {compared.sentence}." if compared else ""
    return sentence
