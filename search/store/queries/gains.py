"""How much better a measured point is than BatchNorm, than the chosen GhostNorm, and than that of another search."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from search.plan.comparison import compare
from search.plan.selection import Candidate, Mode
from search.plan.stages import UNNORMALIZED
from search.views import (
    ComparisonView,
    EvidenceView,
    MeasuredView,
    SearchGain,
    SearchView,
)

_BARE_GAIN = re.compile(r" It beats gm=\d+, gc=\d+ \(\S+\) by \S+\.$")  # as version 0.1.0 wrote it
BATCH_NORM, GHOST_NORM, SEQ_NORM = "BatchNorm", "GhostNorm", "SeqNorm"  # in labels of points
CHOSEN_GHOST_NORM, BEST_GHOST_NORM = "chosen GhostNorm", "best GhostNorm"


def add_gains(rows: Sequence[MeasuredView], mode: Mode, samples: int | None) -> tuple[MeasuredView, ...]:
    """Add gains to the points of stage ``test``: over BatchNorm, and of a SeqNorm over the GhostNorm it is built on.

    Intervals allow for all comparisons shown, so only those are made that answer a question. A GhostNorm that is
    built on is not compared with BatchNorm if another one is reported; training without normalization is nobody's
    choice. Both help to estimate the spread.
    """
    batch_norm = next((row for row in rows if _is(row, BATCH_NORM)), None)
    ghost_norms = [row for row in rows if _is(row, CHOSEN_GHOST_NORM) and row is not batch_norm]
    built_on = ghost_norms if any(_is(row, BEST_GHOST_NORM) for row in rows) else []
    pairs = [
        (row, batch_norm, BATCH_NORM)
        for row in rows
        if batch_norm and row is not batch_norm and row not in built_on and row.point != UNNORMALIZED
    ]
    pairs += [(row, ghost_norm, GHOST_NORM) for row in rows if _is(row, SEQ_NORM) for ghost_norm in ghost_norms]
    among = [_candidate(row) for row in rows]

    def gains(row: MeasuredView) -> Iterator[ComparisonView]:
        for compared, reference, norm in pairs:
            if compared is row:
                yield from _compare(row, reference, _name(reference, norm), mode, samples, among, len(pairs))

    return tuple(row.model_copy(update={"gains": tuple(gains(row))}) for row in rows)


def find_gain(evidence: EvidenceView, samples: int | None) -> ComparisonView | None:
    """Return the gain of a stage's choice over its reference: as stored, else from what older versions stored."""
    chosen = next((row for row in evidence.candidates if row.chosen), None)
    if evidence.gain or chosen is None or evidence.reference is None:
        return evidence.gain
    stable = [row.to_candidate() for row in evidence.candidates if row.stable]
    reference = evidence.reference.to_candidate()
    found = compare(chosen.to_candidate(), reference, evidence.mode, _usable(evidence.mode, samples), among=stable)
    return ComparisonView.from_comparison(found) if found else None


def judge_sentence(sentence: str, gain: ComparisonView | None) -> str:
    """Return the sentence of a choice; one of an older version says its gain with interval and verdict instead."""
    return _BARE_GAIN.sub(lambda _: f" It is {gain.sentence}." if gain else "", sentence)


def compare_searches(searches: Sequence[SearchView]) -> Iterator[SearchGain]:
    """Compare the points of stage ``test`` with those of the first search that have the same label.

    Searches of another metric are left out, and a figure on held-out data is compared with no other.
    """
    if not searches:
        return
    first, *others = searches
    references = {label: row for row in first.test for label in row.labels}
    for other in others:
        if (other.metric, other.mode, bool(other.test_note)) != (first.metric, first.mode, bool(first.test_note)):
            continue
        sizes = [each for each in (first.samples.get("test"), other.samples.get("test")) if each]
        for row in other.test:
            for label in row.labels:
                if reference := references.get(label):
                    name = f"{label} of {first.name or first.search}"
                    samples = min(sizes) if len(sizes) == 2 else None
                    for comparison in _compare(row, reference, name, first.mode, samples):
                        yield SearchGain(
                            search=other.search, label=label, reference=first.search, comparison=comparison
                        )


def _compare(
    row: MeasuredView,
    reference: MeasuredView,
    name: str,
    mode: Mode,
    samples: int | None,
    among: Sequence[Candidate] = (),
    comparisons: int = 1,
) -> Iterator[ComparisonView]:
    """Yield the comparison of two points, if both have a mean."""
    pair = _candidate(row), _candidate(reference)
    found = compare(*pair, mode, _usable(mode, samples), among=among, comparisons=comparisons, name=name)
    if found:
        yield ComparisonView.from_comparison(found)


def _candidate(row: MeasuredView) -> Candidate:
    return row.to_candidate(row.values or None)


def _usable(mode: Mode, samples: int | None) -> int | None:
    """Return the size of the evaluation set where the metric may be an accuracy."""
    return samples if mode == "max" else None


def _is(row: MeasuredView, norm: str) -> bool:
    return any(norm in label for label in row.labels)


def _name(row: MeasuredView, norm: str) -> str:
    """Return the label that says which norm a point is."""
    return next(label for label in row.labels if norm in label)
