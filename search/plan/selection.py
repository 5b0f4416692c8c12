"""Choose the candidate that a stage keeps: pure functions over summaries of finished trials.

The paper's section 3.2 keeps the largest G_M for which the network performs well, then the best G_C.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from search.plan.candidates import Candidate, Mode, Point, summarize
from search.plan.comparison import Comparison, compare
from search.plan.rules import (
    AXES_OF_SIZE,
    POINT,
    ROUNDING,
    ROUNDING_DIGITS,
    RULES,
    Rule,
    RuleInput,
    RuleResult,
    check_rule,
    mean_of,
    name_values,
    tie_break_key,
)
from search.plan.stability import Tolerance, auto_tolerance, find_tolerance, find_unstable
from search.vocabulary.formatting import format_figure

__all__ = [
    "POINT",
    "RULES",
    "Candidate",
    "Choice",
    "Mode",
    "Point",
    "Rule",
    "RuleInput",
    "RuleResult",
    "auto_tolerance",
    "check_rule",
    "choose",
    "summarize",
]


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


def choose(
    candidates: Sequence[Candidate],
    rule: Rule = "largest-stable",
    axis: str = "gm",
    mode: Mode = "max",
    tolerance: float | Literal["auto"] = "auto",
    reference: Candidate | None = None,
    samples: int | None = None,
    reference_among: int = 1,
) -> Choice:
    """Choose one of the candidates.

    A candidate is stable if every replicate finished, with finite loss and above chance, and if its spread is not
    significantly larger than that of the others. Of the stable ones

    - ``largest-stable`` chooses the largest value of ``axis`` whose mean is within ``tolerance`` of the best mean,
    - ``lowest-std`` the lowest std of those whose mean is,
    - ``one-se`` the largest value whose mean is within the standard error of the best one,
    - ``best-mean`` the best mean,
    - ``cautious-mean`` the best mean after a standard error is taken off each.

    Ties go to the lower std, then the larger gm, then the larger gc.

    Args:
        candidates: the measured candidates.
        rule: one of ``RULES``.
        axis: the parameter that the stage tunes: gm, gc, ``point`` for both at once, or the name of another one.
        mode: whether higher or lower means are better.
        tolerance: largest distance from the best mean that still performs well, in units of the metric; ``auto``
            derives it from the spread over replicates (see :func:`search.plan.stability.auto_tolerance`).
        reference: a candidate that is shown and compared with the winner, but not eligible.
        samples: size of the evaluation set, where the metric is an accuracy from 0 to 1.
        reference_among: number of candidates that the reference was chosen from.

    Returns:
        The choice with its evidence. It has no points if no candidate is stable.

    Raises:
        ValueError: if the rule asks for the largest value of an axis other than gm and gc.
    """
    check_rule(rule, axis)
    sign = 1 if mode == "max" else -1
    unstable = find_unstable(candidates)
    stable = [candidate for candidate in candidates if candidate.point not in unstable]
    allowed = find_tolerance(stable, mode, tolerance)
    best = max((sign * mean_of(candidate) for candidate in stable), default=None)
    result = inputs = None
    if best is not None:
        inputs = RuleInput(
            stable=stable,
            close=[c for c in stable if best - sign * mean_of(c) <= allowed.of(c) + ROUNDING],
            best=[c for c in stable if best - sign * mean_of(c) <= ROUNDING],
            best_mean=sign * best,
            tolerance=allowed.width,
            candidates=len(candidates),
            axis=axis,
            mode=mode,
        )
        result = RULES[rule](inputs)

    gain = (
        compare(result.winner, reference, mode, samples, among=stable, comparisons=len(stable) / reference_among)
        if result and reference
        else None
    )
    eligible = set(result.eligible) if result else set()
    evidence = {
        "rule": rule,
        "axis": axis,
        "mode": mode,
        "tolerance": allowed.width,
        "tolerance_from": "auto" if tolerance == "auto" else "given",
        "best_mean": None if best is None else sign * best,
        "candidates": [
            {
                **candidate.as_json(),
                **(
                    _explain_stable(candidate, result, eligible, sign, best, allowed)
                    if result and best is not None and candidate.point not in unstable
                    else {"stable": False, "eligible": False, "chosen": False, "why": unstable[candidate.point]}
                ),
            }
            for candidate in candidates
        ],
        "reference": reference.as_json() if reference else None,
        "gain": gain.as_json() if gain else None,
    }
    return Choice(
        base=result.winner.point if result else None,
        best=max(inputs.best, key=tie_break_key).point if inputs else None,
        evidence=evidence,
        sentence=_sentence(result, candidates, stable, axis, mode, gain),
    )


def _are_alike(stable: Sequence[Candidate]) -> bool:
    """Return whether what was tuned changed nothing: several points have the same figures to the last digit.

    Two single trainings may agree by chance on a small validation split.
    """
    figures = {
        (round(mean_of(each), ROUNDING_DIGITS), each.std and round(each.std, ROUNDING_DIGITS), each.n)
        for each in stable
    }
    return len(figures) == 1 and len(stable) > 1 and sum(each.n for each in stable) > 2


def _explain_stable(
    candidate: Candidate,
    result: RuleResult,
    eligible: Container[Candidate],
    sign: int,
    best: float,
    allowed: Tolerance,
) -> dict[str, object]:
    """Return whether a stable candidate was in or out, and why, in numbers."""
    gap, chosen = best - sign * mean_of(candidate), candidate is result.winner
    inside = gap <= allowed.of(candidate) + ROUNDING
    why = "chosen" if chosen else f"{'in' if inside else 'out'}: the best mean"
    if gap > ROUNDING and not chosen:
        why = f"{'in' if inside else 'out'}: {format_figure(gap)} behind the best mean"
        if allowed.of(candidate) + ROUNDING < gap <= allowed.width:
            why += f"; without its own spread the tolerance is {format_figure(allowed.of(candidate))}"
    return {"stable": True, "eligible": candidate in eligible, "chosen": chosen, "why": why}


def _sentence(
    result: RuleResult | None,
    candidates: Sequence[Candidate],
    stable: Sequence[Candidate],
    axis: str,
    mode: Mode,
    gain: Comparison | None,
) -> str:
    """Return a sentence for users that says what was chosen and why."""
    if result is None:
        return (
            f"Nothing was chosen: none of {len(candidates)} candidates is stable "
            f"(every replicate finished{', and above chance' if mode == 'max' else ''})."
        )
    winner = result.winner
    name = ", ".join(f"{name}={value}" for name, value in name_values(winner, axis).items())
    prefix = f"{winner.variant}: " if winner.variant != "main" and axis in AXES_OF_SIZE else ""
    sentence = f"{prefix}{name} {result.reason}"
    unstable = len(candidates) - len(stable)
    if unstable:
        sentence += f" {unstable} of {len(candidates)} candidates {'is' if unstable == 1 else 'are'} not stable."
    if _are_alike(stable):
        question = "do gm and gc reach a norm" if axis in AXES_OF_SIZE else f"does {axis} reach the training"
        sentence += f" All stable candidates gave the same figures: {question}?"
    if gain:
        sentence += f" It is {gain.sentence}."
    return sentence
