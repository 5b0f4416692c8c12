"""Gains with their intervals and verdicts: hand calculations, and how often they are right."""

import math
import random

import pytest

from search.plan.candidates import Candidate, Point, summarize
from search.plan.comparison import Comparison, Verdict, compare

SEEDS = range(3)


def point(gm: int, *figures: float, seeds=None) -> Candidate:
    """Summarize figures, of seeds that are known if they are given."""
    return summarize(Point("main", gm, 0), figures if seeds is None else dict(zip(seeds, figures, strict=True)), 0)


def only(mean: float, std: float | None, n: int, gm: int = 4) -> Candidate:
    return Candidate(gm=gm, gc=0, mean=mean, std=std, n=n)


def test_an_interval_is_students_with_the_pooled_spread():
    found = compare(only(0.93, 0.002, 3), only(0.92, 0.002, 3, gm=1), "max")
    # t of 2.5 % at 4 degrees of freedom, 2.776, times 0.002·√(2/3)
    assert found == Comparison(
        reference="gm=1, gc=0",
        gain=pytest.approx(0.01),
        low=pytest.approx(0.01 - 0.004534, abs=1e-6),
        high=pytest.approx(0.01 + 0.004534, abs=1e-6),
        paired=False,
        verdict=Verdict.CLEAR,
        more_seeds=None,
    )
    assert found.sentence == "0.0100 better than gm=1, gc=0 (95 % interval 0.0055 to 0.0145): clear"


def test_a_loss_is_told_as_a_loss_and_a_name_can_be_given():
    found = compare(only(0.92, 0.002, 3), only(0.93, 0.002, 3, gm=1), "max", name="BatchNorm")
    assert found.sentence == "0.0100 worse than BatchNorm (95 % interval 0.0055 to 0.0145): clear"
    assert (found.gain, found.high) == (pytest.approx(-0.01), pytest.approx(-0.0055, abs=1e-4))


def test_lower_is_better_where_the_mode_says_so():
    assert compare(only(0.3, 0.002, 3), only(0.4, 0.002, 3), "min").gain == pytest.approx(0.1)


def test_a_gain_within_noise_says_how_many_more_seeds_would_tell():
    found = compare(only(0.923, 0.002, 3), only(0.92, 0.002, 3, gm=1), "max")
    assert (found.verdict, found.more_seeds) == (Verdict.WITHIN_NOISE, 2)
    # five seeds: t of 2.5 % at 8 degrees of freedom, 2.306, times 0.002·√(2/5) = 0.0029; four: 0.0035
    assert found.sentence.endswith("(95 % interval -0.0015 to 0.0075): within noise; about 2 more seeds would tell")


def test_a_gain_that_no_hundred_seeds_would_tell_says_so():
    found = compare(only(0.92001, 0.002, 3), only(0.92, 0.002, 3, gm=1), "max")
    assert found.more_seeds is None
    assert found.sentence.endswith(": within noise; more seeds would hardly tell")


@pytest.mark.parametrize(("std", "n"), [(None, 1), (0.0, 3)])
def test_without_a_spread_over_seeds_nothing_is_told(std, n):
    found = compare(only(0.93, std, n), only(0.92, std, n, gm=1), "max", samples=1000)
    assert (found.verdict, found.low, found.high, found.more_seeds) == (Verdict.ONE_SEED, None, None, None)
    assert found.sentence == ("0.0100 better than gm=1, gc=0: cannot be told from noise without a spread over seeds")


@pytest.mark.parametrize("mean", [None, math.nan, math.inf])
def test_without_two_means_there_is_no_comparison(mean):
    assert compare(only(mean, None, 0), only(0.9, 0.01, 3), "max") is None
    assert compare(only(0.9, 0.01, 3), only(mean, None, 0), "max") is None


def test_shared_seeds_take_out_what_a_seed_adds_to_both():
    above, below = (0.931, 0.951, 0.912), (0.920, 0.941, 0.901)
    found = compare(point(4, *above, seeds=SEEDS), point(1, *below, seeds=SEEDS), "max")
    assert (found.paired, found.verdict) == (True, Verdict.CLEAR)
    # differences 0.011, 0.010, 0.011; t of 0.25 % at 2 degrees of freedom, 14.09, times 0.000577/√3
    assert found.high - found.gain == pytest.approx(14.09 * 0.00057735 / math.sqrt(3), rel=1e-3)
    without = compare(point(4, *above), point(1, *below), "max")
    assert (without.paired, without.verdict) == (False, Verdict.WITHIN_NOISE)
    other_seeds = compare(point(4, *above, seeds=SEEDS), point(1, *below, seeds=range(5, 8)), "max")
    assert other_seeds == without


def test_the_same_figures_again_are_equal_within_the_noise_of_seeds():
    found = compare(point(4, 0.91, 0.92, 0.93, seeds=SEEDS), point(1, 0.91, 0.92, 0.93, seeds=SEEDS), "max")
    assert (found.gain, found.paired, found.verdict) == (0, False, Verdict.WITHIN_NOISE)
    assert found.low < 0 < found.high


def test_figures_too_small_for_four_decimals_are_said_too():
    found = compare(only(1.2e-4, 1e-6, 3), only(1.5e-4, 1e-6, 3, gm=1), "min")
    assert found.sentence == "3e-05 better than gm=1, gc=0 (95 % interval 2.8e-05 to 3.2e-05): clear"


def test_a_pair_is_left_unpaired_where_pairing_widens_the_interval():
    above, below = (0.930, 0.931, 0.932), (0.922, 0.921, 0.920)
    assert not compare(point(4, *above, seeds=SEEDS), point(1, *below, seeds=SEEDS), "max").paired


def test_others_add_their_spread_and_make_the_interval_allow_for_a_choice():
    reference, chosen = only(0.92, 0.002, 3, gm=1), only(0.93, 0.002, 3, gm=4)
    among = [chosen, only(0.925, 0.002, 3, gm=2), only(0.925, 0.002, 3, gm=8)]
    found = compare(chosen, reference, "max", among=among)
    # t of 2.5 % / 3 at 8 degrees of freedom, 3.016, times 0.002·√(2/3)
    assert found.high - found.gain == pytest.approx(3.016 * 0.002 * math.sqrt(2 / 3), rel=1e-3)


def test_the_number_of_comparisons_to_allow_for_can_be_given():
    reference, chosen = only(0.92, 0.002, 3, gm=1), only(0.93, 0.002, 3, gm=4)
    among = [chosen, only(0.925, 0.002, 3, gm=2), only(0.925, 0.002, 3, gm=8)]
    widths = [
        found.high - found.gain
        for count in (3, 1, 1 / 3)
        if (found := compare(chosen, reference, "max", among=among, comparisons=count))
    ]
    assert widths[1:] == [pytest.approx(2.306 * 0.002 * math.sqrt(2 / 3), rel=1e-3)] * 2 != widths[:1]


def test_a_noisy_one_beside_the_two_does_not_widen_their_interval():
    reference, chosen = only(0.92, 0.002, 3, gm=1), only(0.93, 0.002, 3, gm=4)
    among = [chosen, only(0.925, 0.002, 3, gm=8), only(0.5, 0.2, 3, gm=16)]
    found = compare(chosen, reference, "max", among=among)
    # t of 2.5 % / 3 at the 6 degrees of freedom of the other three, 3.287, times their 0.002·√(2/3)
    assert found.high - found.gain == pytest.approx(3.287 * 0.002 * math.sqrt(2 / 3), rel=1e-3)


def test_a_noisy_one_of_the_two_counts_with_its_own_spread():
    others = [only(0.92, 0.002, 3, gm=gm) for gm in (1, 2, 8)]
    found = compare(only(0.93, 0.02, 3), others[0], "max", among=others)
    assert found.verdict == Verdict.WITHIN_NOISE
    assert found.high - found.gain > 4.3 * 0.02 / math.sqrt(3)  # Welch: hardly more than its own 2 degrees of freedom


def test_the_evaluation_set_has_a_sampling_error_that_seeds_do_not_reduce():
    found = compare(only(0.93, 0.0001, 3), only(0.92, 0.0001, 3, gm=1), "max", samples=400)
    # √((0.93·0.07 + 0.92·0.08)/400) = 0.0186, times the normal 1.96
    assert found.high - found.gain == pytest.approx(1.96 * 0.01862, rel=2e-3)
    assert (found.verdict, found.more_seeds) == (Verdict.WITHIN_NOISE, None)
    percent = compare(only(93, 0.1, 3), only(92, 0.1, 3, gm=1), "max", samples=400)
    assert percent.verdict == Verdict.CLEAR  # no share of samples


def test_clear_is_said_of_one_gain_in_twenty_where_there_is_none():
    chance, clear = random.Random(1), 0
    for _ in range(1000):
        one, other = ({seed: chance.gauss(0, 1) for seed in SEEDS} for _ in range(2))
        found = compare(summarize(Point("main", 4, 0), one, 0), summarize(Point("main", 1, 0), other, 0), "max")
        clear += found.verdict == Verdict.CLEAR
    assert clear <= 65  # 5 % and two standard errors


def test_a_single_seed_is_judged_by_the_spread_of_the_other_point():
    found = compare(only(0.93, None, 1), only(0.92, 0.002, 3, gm=1), "max")
    assert found.gain - found.low == pytest.approx(
        4.303 * 0.002 * math.sqrt(1 + 1 / 3), rel=1e-3
    )  # Student's, 2 degrees


def test_a_comparison_is_json():
    found = compare(only(0.93, 0.002, 3), only(0.92, 0.002, 3, gm=1), "max").as_json()
    assert (found["verdict"], found["sentence"][:6]) == ("clear", "0.0100")
