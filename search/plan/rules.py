"""The rules that choose one of a stage's candidates: one function each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from search.plan.candidates import Candidate, Mode
from search.plan.naming import split_name
from search.plan.registry import OneOf
from search.vocabulary.formatting import format_figure

POINT = "point"  # the axis of a stage that tunes several parameters at once
ROUNDING_DIGITS = 12  # the order of summation changes the last bits of mean and std
ROUNDING = 10.0**-ROUNDING_DIGITS


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
        """Return a candidate's numbers of groups on the tuned axis, as a sort key."""
        return tuple(value for value in name_values(candidate, self.axis).values() if isinstance(value, int))

    @property
    def direction(self) -> str:
        """What the best mean is called."""
        return "highest" if self.mode == "max" else "lowest"


@dataclass(frozen=True, kw_only=True)
class RuleResult:
    """The output of a rule."""

    winner: Candidate
    eligible: Sequence[Candidate]
    reason: str  #: completes a sentence that starts with the winner's name


def tie_break_key(candidate: Candidate) -> tuple[float, int, int, str]:
    """Return the sort key for ties: lower std wins, then larger gm, then larger gc; names settle the rest."""
    return (-round(candidate.std or 0.0, ROUNDING_DIGITS), candidate.gm, candidate.gc, candidate.variant)


def largest_stable(inputs: RuleInput) -> RuleResult:
    """Choose the largest value whose mean is within the tolerance of the best mean."""
    winner = max(inputs.close, key=lambda c: (inputs.axis_values(c), *tie_break_key(c)))
    return RuleResult(
        winner=winner,
        eligible=inputs.close,
        reason=f"is the largest stable {inputs.axis} whose mean {format_figure(mean_of(winner))} is within "
        f"{format_figure(inputs.tolerance)} of the best mean {format_figure(inputs.best_mean)} "
        f"({len(inputs.close)} of {inputs.candidates} candidates are).",
    )


def lowest_std(inputs: RuleInput) -> RuleResult:
    """Choose the lowest std of those whose mean is within the tolerance of the best mean."""
    winner = max(inputs.close, key=tie_break_key)
    close = (
        f"of the {len(inputs.close)} of {inputs.candidates} candidates whose mean is within "
        f"{format_figure(inputs.tolerance)} of the best mean {format_figure(inputs.best_mean)}"
    )
    reason = f"is kept {close}: one seed has no std."
    if winner.std is not None:
        reason = f"has the lowest std, {format_figure(winner.std)}, {close}."
    return RuleResult(winner=winner, eligible=inputs.close, reason=reason)


def one_se(inputs: RuleInput) -> RuleResult:
    """Choose the largest value whose mean is within one standard error of the best mean: that of the best itself."""
    best = max(inputs.best, key=tie_break_key)
    width = inputs.tolerance if best.sem is None else best.sem
    close = [c for c in inputs.stable if abs(mean_of(c) - inputs.best_mean) <= width + ROUNDING]
    winner = max(close, key=lambda c: (inputs.axis_values(c), *tie_break_key(c)))
    return RuleResult(
        winner=winner,
        eligible=close,
        reason=f"is the largest stable {inputs.axis} whose mean {format_figure(mean_of(winner))} is within one "
        f"standard error, {format_figure(width)}, of the best mean {format_figure(inputs.best_mean)} "
        f"({len(close)} of {inputs.candidates} candidates are).",
    )


def best_mean(inputs: RuleInput) -> RuleResult:
    """Choose the best mean."""
    winner = max(inputs.best, key=tie_break_key)
    tied = sum(abs(mean_of(c) - mean_of(winner)) <= ROUNDING for c in inputs.close) > 1
    ties = " (ties to the lower std, then the larger gm and gc)" if tied else ""
    return RuleResult(
        winner=winner,
        eligible=inputs.stable,
        reason=f"has the {inputs.direction} mean, {format_figure(mean_of(winner))}, "
        f"of {len(inputs.stable)} stable candidates{ties}.",
    )


def cautious_mean(inputs: RuleInput) -> RuleResult:
    """Choose the best mean after one standard error is taken off each: a noisy mean counts for less."""
    sign = 1 if inputs.mode == "max" else -1
    winner = max(
        inputs.stable,
        key=lambda c: (round(sign * mean_of(c) - (c.sem or 0.0), ROUNDING_DIGITS), *tie_break_key(c)),
    )
    cautious = mean_of(winner) - sign * (winner.sem or 0.0)
    return RuleResult(
        winner=winner,
        eligible=inputs.stable,
        reason=f"has the {inputs.direction} mean, {format_figure(cautious)}, of {len(inputs.stable)} stable candidates "
        f"after a standard error is {'taken off' if sign > 0 else 'added to'} each "
        f"(mean {format_figure(mean_of(winner))}).",
    )


RULES: Mapping[str, Callable[[RuleInput], RuleResult]] = {
    "largest-stable": largest_stable,
    "lowest-std": lowest_std,
    "one-se": one_se,
    "best-mean": best_mean,
    "cautious-mean": cautious_mean,
}
Rule = Annotated[str, OneOf(RULES)]
RULES_OF_SIZE = ("largest-stable", "one-se")  #: ask for the largest value, which only numbers of groups have
AXES_OF_SIZE = ("gm", "gc", POINT)


def check_rule(rule: Rule, axis: str) -> None:
    """Check that a rule can choose on an axis.

    Raises:
        ValueError: if the rule asks for the largest value of an axis other than gm and gc.
    """
    if rule in RULES_OF_SIZE and axis not in AXES_OF_SIZE:
        raise ValueError(
            f"rule {rule} keeps the largest number of groups: got axis {axis}, of which a larger value is not better. "
            f"Choose one of: {', '.join(name for name in RULES if name not in RULES_OF_SIZE)}."
        )


def mean_of(candidate: Candidate) -> float:
    """Return the mean of a stable candidate, which has one."""
    assert candidate.mean is not None
    return candidate.mean


def name_values(candidate: Candidate, axis: str) -> dict[str, int | str]:
    """Return a candidate's values of the tuned parameters, by name."""
    if axis in ("gm", "gc"):
        return {axis: getattr(candidate, axis)}
    if axis == POINT:
        return {"gm": candidate.gm, "gc": candidate.gc}
    overrides, values = split_name(candidate.variant)
    return {axis: values.get(axis, overrides)}
