"""Gains are shown with their interval and a verdict, never bare."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from search.plan.comparison import Verdict, compare
from search.plan.selection import Candidate, Point, choose, summarize
from search.store.queries.gains import add_gains, compare_searches, find_gain, judge_sentence
from search.views import ChoiceView, EvidenceView, MeasuredView, SearchView
from tests.search.examples import example

SEEDS = (0.0, 0.004, -0.004)  # what a seed adds


def row(
    gm: int, gc: int, mean: float, *labels: str, noise: Sequence[float] = SEEDS, variant: str = "main"
) -> MeasuredView:
    """Return a measured point of three seeds."""
    values = {1000 + seed: mean + added for seed, added in enumerate(noise)}
    return MeasuredView.from_test_candidate(summarize(Point(variant, gm, gc), values, failed=0), labels)


ROWS = [
    row(0, 0, 0.90, "no normalization", variant="none"),
    row(1, 0, 0.93, "BatchNorm", noise=(0.0, 0.0041, -0.0039)),
    row(8, 0, 0.9302, "chosen GhostNorm", noise=(0.0, -0.004, 0.004)),
    row(8, 4, 0.95, "chosen SeqNorm"),
]


def test_each_point_is_compared_with_batch_norm_and_the_seq_norm_with_the_ghost_norm_too() -> None:
    said = {
        view.labels[0]: [(gain.reference, gain.verdict) for gain in view.gains] for view in add_gains(ROWS, "max", None)
    }
    assert said == {
        "no normalization": [],  # nobody's choice, and each comparison more would widen the others
        "BatchNorm": [],
        "chosen GhostNorm": [("BatchNorm", "within noise")],
        "chosen SeqNorm": [("BatchNorm", "clear"), ("chosen GhostNorm", "clear")],
    }


def test_a_gain_is_paired_by_seed_and_allows_for_every_gain_that_is_shown() -> None:
    (gain, _) = add_gains(ROWS, "max", None)[3].gains
    candidates = [view.to_candidate(view.values) for view in ROWS]
    expected = compare(candidates[3], candidates[1], "max", among=candidates, comparisons=3, name="BatchNorm")
    assert expected
    assert gain.model_dump(mode="json") == expected.as_json()
    assert gain.sentence.startswith("0.0199 better than BatchNorm (95 % interval 0.0")
    assert gain.low
    assert gain.low < gain.gain == pytest.approx(0.02, abs=1e-3)


def test_the_evaluation_set_widens_the_interval_of_an_accuracy_and_of_nothing_else() -> None:
    def low(mode: str, samples: int | None) -> float | None:
        return add_gains(ROWS, mode, samples)[3].gains[0].low  # type: ignore[arg-type]

    alone, of_few = low("max", None), low("max", 1000)
    assert alone is not None
    assert of_few is not None
    assert of_few < 0 < alone
    assert low("min", 1000) == low("min", None)


def test_a_ghost_norm_that_is_only_built_on_is_compared_with_its_seq_norm_alone() -> None:
    best, _, batch_norm, ghost_norm, seq_norm = add_gains([row(4, 0, 0.931, "best GhostNorm"), *ROWS], "max", None)
    assert ([gain.reference for gain in best.gains], batch_norm.gains, ghost_norm.gains) == (["BatchNorm"], (), ())
    assert [gain.reference for gain in seq_norm.gains] == ["BatchNorm", "chosen GhostNorm"]


def test_where_batch_norm_was_chosen_the_seq_norm_is_compared_with_it_once() -> None:
    rows = [row(1, 0, 0.93, "chosen GhostNorm", "BatchNorm"), ROWS[3]]
    assert [gain.reference for gain in add_gains(rows, "max", None)[1].gains] == ["BatchNorm"]


def test_a_point_without_a_mean_or_without_a_reference_has_no_gain() -> None:
    failed = MeasuredView.from_test_candidate(
        Candidate(gm=8, gc=4, mean=None, std=None, n=0, failed=3), ["chosen SeqNorm"]
    )
    assert [view.gains for view in add_gains([failed, ROWS[1]], "max", None)] == [(), ()]
    assert [view.gains for view in add_gains([ROWS[3]], "max", None)] == [()]


def test_a_choice_that_an_older_version_stored_without_its_gain_gets_it_from_its_figures() -> None:
    candidates = [summarize(Point("main", 8, gc), [0.95 + gc / 100 + added for added in SEEDS], 0) for gc in (1, 2)]
    reference = summarize(Point("main", 8, 0), [0.93 + added for added in SEEDS], 0)
    choice = choose(candidates, "best-mean", "gc", reference=reference)
    view = ChoiceView.model_validate({**choice.as_json(), "finalists": []})
    found = find_gain(view.evidence.model_copy(update={"gain": None}), None)
    expected = compare(candidates[1], reference, "max", among=candidates)
    assert found
    assert expected
    assert (found.gain, found.low) == pytest.approx((expected.gain, expected.low))
    assert found.reference == "gm=8, gc=0"
    alone = {"reference": None, "gain": None}
    assert find_gain(view.evidence.model_copy(update=alone), None) is None
    assert find_gain(example(EvidenceView), None) is None


def test_a_sentence_of_an_older_version_gets_a_verdict() -> None:
    (gain, *_) = add_gains(ROWS, "max", None)[3].gains
    bare = "gc=4 has the highest mean, 0.9500, of 3 stable candidates."
    assert judge_sentence(f"{bare} It beats gm=8, gc=0 (0.9302) by 0.0198.", gain) == f"{bare} It is {gain.sentence}."
    assert judge_sentence(bare, gain) == bare


def test_searches_are_compared_with_the_first_by_what_their_points_are() -> None:
    first = example(SearchView, search="a", name="first", test=ROWS, metric="accuracy")
    other = example(
        SearchView, search="b", test=[row(16, 2, 0.97, "chosen SeqNorm"), row(4, 0, 0.9)], metric="accuracy"
    )
    (found,) = compare_searches([first, other])
    assert (found.search, found.label, found.reference) == ("b", "chosen SeqNorm", "a")
    assert found.comparison.sentence.startswith("0.0200 better than chosen SeqNorm of first (95 % interval ")
    assert found.comparison.verdict == Verdict.CLEAR
    assert list(compare_searches([first, other.model_copy(update={"metric": "loss"})])) == []
    assert list(compare_searches([])) == []
