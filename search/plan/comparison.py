"""Says how much better one candidate is than another, within which limits, and whether seeds can tell.

Every gain that anybody is shown comes from here, so terminal, pages, API and export say the same words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from search.plan.candidates import Candidate, Mode
from search.plan.distributions import t_quantile
from search.plan.spread import find_noisy, pool
from search.vocabulary.formatting import format_figure

ERROR = 0.05  # of a search: how often its intervals may miss
SHARED_ERROR = 0.04, 0.04  # unpaired and paired: where seeds are shared the narrower of the two intervals is taken
SHARED_ERROR_OF_TWO = 0.045, 0.005  # of two rows alone, whose two intervals differ more
NOISY_LEVEL = 0.001  # stricter than for a choice: without what spreads most by chance, the pooled spread is too small
MOST_SEEDS = 100  # more of them are no advice
MOST_FREEDOM = 1e6  # from here on Student's distribution is the normal one


class Verdict(StrEnum):
    """What the seeds say of a gain."""

    CLEAR = "clear"  #: the interval excludes 0
    WITHIN_NOISE = "within noise"  #: it does not
    ONE_SEED = "one seed"  #: there is no spread to judge by, so it cannot be told


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How much better one candidate is than a reference."""

    reference: str  #: its name, for people
    gain: float  #: in units of the metric; positive where the candidate is better, whatever the metric's direction
    low: float | None  #: lower limit of the 95 % interval of the gain; None where there is no spread to judge by
    high: float | None  #: its upper limit
    paired: bool  #: whether differences of equal seeds gave the interval
    verdict: Verdict
    more_seeds: int | None  #: about how many more would tell; None if it is clear, or if no sensible number would

    @property
    def sentence(self) -> str:
        """The one wording of a gain: ``0.0086 better than BatchNorm (95 % interval 0.0051 to 0.0121): clear``."""
        said = f"equal to {self.reference}"
        if self.gain:
            said = f"{format_figure(abs(self.gain))} {'better' if self.gain > 0 else 'worse'} than {self.reference}"
        if self.low is None or self.high is None:
            return f"{said}: cannot be told from noise without a spread over seeds"
        low, high = (self.low, self.high) if self.gain >= 0 else (-self.high, -self.low)
        said += f" (95 % interval {format_figure(low)} to {format_figure(high)}): {self.verdict}"
        if self.verdict == Verdict.CLEAR:
            return said
        if self.more_seeds is None:
            return f"{said}; more seeds would hardly tell"
        return f"{said}; about {self.more_seeds} more {'seed' if self.more_seeds == 1 else 'seeds'} would tell"

    def as_json(self) -> dict[str, object]:
        """Return the figures and the sentence as JSON."""
        return {**asdict(self), "verdict": self.verdict.value, "sentence": self.sentence}


def compare(
    candidate: Candidate,
    reference: Candidate,
    mode: Mode,
    samples: int | None = None,
    *,
    among: Sequence[Candidate] = (),
    comparisons: float | None = None,
    name: str = "",
) -> Comparison | None:
    """Compare a candidate with a reference.

    The interval is Student's. Its standard error comes from the spread over seeds, pooled over all candidates given,
    except for those whose spread is significantly larger, which count with their own. Where all share their seeds,
    what a seed adds to each of them is taken out (paired differences) if the interval is narrower for it.

    Args:
        candidate: the one that is said to be better or worse.
        reference: the one that it is compared with.
        mode: whether higher or lower figures are better.
        samples: size of the evaluation set, where the metric is an accuracy from 0 to 1: which samples happened to be
            in it is noise that no seed shows. None leaves that out.
        among: the candidates that this one was chosen from, or that are measured beside it: their seeds help to
            estimate the spread.
        comparisons: how many comparisons the interval allows for: those that are shown together, or the candidates
            that this one was chosen from, divided by those that the reference was chosen from, as what the choice
            adds to one mean it adds to the other. None: one for each of ``among`` but the reference.
        name: what people call the reference; its point if empty.

    Returns:
        The comparison; None without two finite means.
    """
    if candidate.mean is None or reference.mean is None:
        return None
    gain = candidate.mean - reference.mean if mode == "max" else reference.mean - candidate.mean
    if not math.isfinite(gain):
        return None
    others = [each for each in among if each.point not in (candidate.point, reference.point) and each.std is not None]
    if comparisons is None:
        comparisons = len({each.point for each in among} - {reference.point})
    error = _set_error(candidate.mean, reference.mean, samples)
    intervals = _intervals(candidate, reference, others, error, max(1.0, comparisons))
    wide = [each for each in intervals if each.width()]  # equal figures seed by seed say nothing of noise
    interval = min(wide, key=lambda each: each.width(), default=None)
    width = interval.width() if interval else 0.0
    if interval is None or not width:
        verdict, more = Verdict.ONE_SEED, None
    elif abs(gain) > width:
        verdict, more = Verdict.CLEAR, None
    else:
        verdict, more = Verdict.WITHIN_NOISE, interval.seeds_for(abs(gain))
    return Comparison(
        reference=name or str(reference.point),
        gain=gain,
        low=gain - width if width else None,
        high=gain + width if width else None,
        paired=bool(width and interval and interval.paired),
        verdict=verdict,
        more_seeds=more,
    )


@dataclass(frozen=True, kw_only=True)
class _Interval:
    """A standard error of a difference, and what its 95 % interval needs."""

    n: int  #: seeds of each
    error: float  #: standard error over seeds
    freedom: float
    set_error: float  #: standard error over evaluation sets; more seeds do not reduce it
    tail: float  #: probability beyond either limit
    paired: bool

    def width(self, more: int = 0) -> float:
        """Return half the width, with so many more seeds; 0 without a spread, which says nothing of noise."""
        if not self.error:
            return 0.0
        error = self.error * math.sqrt(self.n / (self.n + more))
        freedom = self.freedom * max(1, self.n + more - 1) / max(1, self.n - 1)
        total = math.hypot(error, self.set_error)
        freedom *= (total / error) ** 4  # Satterthwaite: the other error is known
        return t_quantile(self.tail, min(freedom, MOST_FREEDOM)) * total

    def seeds_for(self, gain: float) -> int | None:
        """Return how many more seeds would make a gain clear, if it and the spread stay as they are."""
        return next((more for more in range(1, MOST_SEEDS + 1) if self.width(more) < gain), None)


def _intervals(
    candidate: Candidate, reference: Candidate, others: Sequence[Candidate], set_error: float, comparisons: float
) -> list[_Interval]:
    """Return the interval without pairing, and with it where seeds are shared; none without a spread."""
    rows = [candidate, reference, *others]
    noisy = find_noisy(rows, NOISY_LEVEL)
    pair_alone = candidate in noisy or reference in noisy
    alike = [candidate, reference] if pair_alone else [each for each in rows if each not in noisy]
    paired = _paired(alike)
    unpaired = _unequal(candidate, reference) if pair_alone else _pooled(candidate, reference, alike)
    unpaired_error, paired_error = SHARED_ERROR if len(alike) > 2 else SHARED_ERROR_OF_TWO
    if not paired:
        unpaired_error = ERROR
    return [
        _Interval(
            n=min(candidate.n, reference.n),
            error=estimate[0],
            freedom=estimate[1],
            set_error=set_error,
            tail=spent / 2 / comparisons,
            paired=estimate is paired,
        )
        for estimate, spent in ((unpaired, unpaired_error), (paired, paired_error))
        if estimate
    ]


def _pooled(candidate: Candidate, reference: Candidate, alike: Sequence[Candidate]) -> tuple[float, float] | None:
    """Return the standard error of the difference from the pooled spread, with its degrees of freedom."""
    spread = pool(alike)
    return (spread.std * math.sqrt(1 / candidate.n + 1 / reference.n), spread.freedom) if spread else None


def _unequal(candidate: Candidate, reference: Candidate) -> tuple[float, float] | None:
    """Return Welch's standard error of the difference, with its degrees of freedom."""
    if not candidate.sem or not reference.sem:
        return _pooled(candidate, reference, [candidate, reference])
    error = math.hypot(candidate.sem, reference.sem)
    parts = ((candidate.sem / error) ** 4 / (candidate.n - 1), (reference.sem / error) ** 4 / (reference.n - 1))
    return error, 1 / sum(parts)


def _paired(rows: Sequence[Candidate]) -> tuple[float, float] | None:
    """Return the standard error of a difference without what seeds add to all rows, with its degrees of freedom.

    The first two are those that are compared; others help where they have the same seeds.
    """
    seeds = list(rows[0].values or ())
    table = [each.values for each in rows if each.values and each.values.keys() == set(seeds)]
    if len(seeds) < 2 or rows[1].values is None or rows[1].values.keys() != set(seeds):
        return None
    of_row = [math.fsum(row.values()) / len(seeds) for row in table]
    of_seed = [math.fsum(row[seed] for row in table) / len(table) for seed in seeds]
    overall = math.fsum(of_row) / len(table)
    left = (row[seed] - of_row[i] - of_seed[j] + overall for i, row in enumerate(table) for j, seed in enumerate(seeds))
    freedom = (len(table) - 1) * (len(seeds) - 1)
    return math.hypot(*left) / math.sqrt(freedom) * math.sqrt(2 / len(seeds)), freedom


def _set_error(mean: float, other: float, samples: int | None) -> float:
    """Return the standard error of a difference of accuracies over evaluation sets.

    It is that of two independent sets: an upper bound, because both are measured on the same samples, and what is hard
    for one is hard for the other.
    """
    if not samples or not (0 <= mean <= 1 and 0 <= other <= 1):
        return 0.0
    return math.sqrt((mean * (1 - mean) + other * (1 - other)) / samples)
