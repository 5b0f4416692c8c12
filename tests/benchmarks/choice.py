"""How much accuracy each rule of choice loses, on surfaces with known values, and how often verdicts are right.

``python -m tests.benchmarks choice`` prints the tables of docs/choice.md. Pure Python: nothing is trained. Every choice
is the product's own :func:`search.selection.choose`; those of earlier versions are written out here.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean

import optuna

from search.plan.comparison import Verdict, compare
from search.plan.selection import Candidate, Point, choose, summarize
from search.plan.spread import find_noisy, pool
from search.plan.stages import UNNORMALIZED
from search.store.queries.gains import add_gains
from search.views import MeasuredView
from tests.benchmarks.rivals import RIVALS, measure_on, whole_grid
from tests.benchmarks.surfaces import GC, GM, Draw, Surface, planted_surfaces, random_surfaces

Choose = Callable[[Sequence[Candidate], str], Point]  #: of candidates and axis
Surfaces = Sequence[tuple[str, Draw]]
RUNS = 500  # searches on each planted surface
RIVAL_RUNS = 300  # searches of other strategies on each planted surface
RANDOM_RUNS = 3000  # searches, each on a random surface of its own
VERDICT_RUNS = 4000  # searches for each verdict
TPE_RUNS = 30  # searches on each planted surface: TPE costs a second or two for each thousand trials


@dataclass(frozen=True)
class Rules:
    """The rules of a search: of gm and gc in the first pass, and of both in checks."""

    gm: Choose
    gc: Choose
    check_gm: Choose
    check_gc: Choose


def rule(name: str) -> Choose:
    """Return a rule of the product."""

    def chosen(candidates: Sequence[Candidate], axis: str) -> Point:
        point = choose(candidates, name, axis).base
        assert point is not None
        return point

    return chosen


def former_best_mean(candidates: Sequence[Candidate], axis: str) -> Point:
    """Choose the best mean, whatever its spread, as version 0.1.0 did."""
    return max(candidates, key=lambda each: each.mean or 0.0).point


def former_largest_stable(candidates: Sequence[Candidate], axis: str) -> Point:
    """Choose the largest value within a standard error of a difference of the best mean, as version 0.1.0 did."""
    spread = pool(candidates)
    assert spread is not None
    width = spread.std * sqrt(2 / candidates[0].n)
    means = {each.point: each.mean or 0.0 for each in candidates}
    return max((point for point in means if means[point] >= max(means.values()) - width), key=lambda p: (p.gm, p.gc))


def one(name: str) -> Rules:
    """Return the rules of a search that tunes gm by one rule, always, and gc by the best mean."""
    return Rules(rule(name), rule("best-mean"), rule(name), rule("best-mean"))


def checked(name: str, check: str) -> Rules:
    """Return the rules of a search that checks by another rule."""
    return Rules(rule(name), rule("best-mean"), rule(check), rule(check))


RULES = {
    "0.1.0: largest-stable": Rules(*[former_largest_stable, former_best_mean] * 2),
    "0.1.0: best-mean": Rules(*[former_best_mean] * 4),
    "largest-stable": one("largest-stable"),
    "one-se": one("one-se"),
    "lowest-std": one("lowest-std"),
    "best-mean": one("best-mean"),
    "cautious-mean": one("cautious-mean"),
    "largest-stable / best-mean": checked("largest-stable", "best-mean"),
    "largest-stable / cautious-mean": checked("largest-stable", "cautious-mean"),
}


class Measured:
    """What the trials of one search would find: every point with every seed, as far as somebody asks for it."""

    def __init__(self, surface: Surface, seeds: int, chance: random.Random) -> None:
        self._figures = {
            (gm, gc): {seed: chance.gauss(mean, surface.std[gm]) for seed in range(seeds)}
            for (gm, gc), mean in surface.accuracy.items()
        }
        self._found: dict[tuple[int, int], Candidate] = {}

    def candidates(self, points: Iterable[tuple[int, int]]) -> list[Candidate]:
        """Train points, unless they are, and summarize them."""
        wanted = list(points)
        for gm, gc in wanted:
            if (gm, gc) not in self._found:
                self._found[gm, gc] = summarize(Point("main", gm, gc), self._figures[gm, gc], 0)
        return [self._found[point] for point in wanted]

    @property
    def trials(self) -> int:
        """The number of trials so far."""
        return sum(each.n for each in self._found.values())


def search(measured: Measured, rules: Rules, rounds: int = 1) -> list[tuple[Point, int]]:
    """Search as the strategy does, and return the point and the trials after the first pass and after each check."""

    def tune_gm(gc: int, choose: Choose) -> int:
        return choose(measured.candidates((gm, gc) for gm in GM), "gm").gm

    def tune_gc(gm: int, choose: Choose) -> int:
        return choose(measured.candidates((gm, gc) for gc in GC[1:]), "gc").gc

    gm = tune_gm(0, rules.gm)
    gc = tune_gc(gm, rules.gc)
    found = [(Point("main", gm, gc), measured.trials)]
    for _ in range(rounds):
        before, gm = gm, tune_gm(gc, rules.check_gm)
        if gm != before:  # else nothing has changed since gc was tuned
            gc = tune_gc(gm, rules.check_gc)
        found.append((Point("main", gm, gc), measured.trials))
    return found


@dataclass(frozen=True)
class Loss:
    """The mean regret by shape, and the mean number of trials."""

    by_shape: dict[str, float]
    trials: float

    @property
    def overall(self) -> float:
        """Over all shapes."""
        return fmean(self.by_shape.values())

    def row(self, name: str) -> str:
        """Return a row of a Markdown table."""
        of_shapes = " | ".join(f"{value:.2f}" for value in self.by_shape.values())
        alone = len(self.by_shape) == 1
        return f"| {name} | {self.overall:.2f} | {self.trials:.0f} |" + ("" if alone else f" {of_shapes} |")


def lose(
    surfaces: Surfaces, runs: int, find: Callable[[Surface, random.Random], list[tuple[Point, int]]]
) -> list[Loss]:
    """Return the losses after each step of ``find``, over as many searches on each surface."""
    regrets: list[dict[str, list[float]]] = []
    trials: list[list[int]] = []
    for position, (shape, draw) in enumerate(surfaces):
        for run in range(runs):
            chance = random.Random(f"{position} {run}")
            surface = draw(chance)
            for step, (point, cost) in enumerate(find(surface, chance)):
                if step == len(regrets):
                    regrets.append({})
                    trials.append([])
                regrets[step].setdefault(shape, []).append(surface.regret(point.gm, point.gc))
                trials[step].append(cost)
    return [
        Loss({shape: fmean(values) for shape, values in by_shape.items()}, fmean(costs))
        for by_shape, costs in zip(regrets, trials, strict=True)
    ]


def lose_by_rules(surfaces: Surfaces, runs: int, rules: Rules, seeds: int = 3, rounds: int = 1) -> list[Loss]:
    """Return the losses of a search after the first pass and after each check."""
    return lose(surfaces, runs, lambda surface, chance: search(Measured(surface, seeds, chance), rules, rounds))


def print_rules(surfaces: Surfaces, runs: int, seeds: int = 3) -> None:
    """Print the loss of each rule, without and with one check."""
    shapes = list(dict.fromkeys(shape for shape, _ in surfaces))
    print_head("rule, first pass / check", "checks", "all", "trials", *(shapes if len(shapes) > 1 else ()))
    for name, rules in RULES.items():
        for rounds, loss in enumerate(lose_by_rules(surfaces, runs, rules, seeds)):
            if rounds or "/" not in name:
                print(loss.row(f"{name} | {rounds}"), flush=True)


def print_rivals(surfaces: Surfaces, runs: int, tpe_runs: int, seeds: int = 3) -> None:
    """Print the loss of other strategies at the trials of one pass and of one check, and that of the whole grid."""
    shapes = list(dict.fromkeys(shape for shape, _ in surfaces))
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print_head("strategy", "all", "trials", *(shapes if len(shapes) > 1 else ()))
    for trials in (11 * seeds, 18 * seeds):
        for name, strategy in RIVALS.items():

            def find(surface: Surface, chance: random.Random, strategy=strategy, trials=trials):  # type: ignore[no-untyped-def]
                pair = strategy(measure_on(surface, chance), trials, seeds, chance)
                return [(Point("main", *pair), trials)]

            [loss] = lose(surfaces, tpe_runs if "TPE" in name else runs, find)
            print(loss.row(name), flush=True)

    def grid(surface: Surface, chance: random.Random) -> list[tuple[Point, int]]:
        return [(Point("main", *whole_grid(measure_on(surface, chance), 0, seeds, chance)), 30 * seeds)]

    print(lose(surfaces, runs, grid)[0].row("whole grid, best mean"), flush=True)


# Verdicts

Stds = dict[Point, float]


@dataclass(frozen=True)
class Noise:
    """How figures of seeds scatter."""

    seeds: int
    shared: float = 0.0  #: part of the variance that a seed adds to every point
    stds: tuple[tuple[Point, float], ...] = ()  #: of points that scatter otherwise

    @property
    def error(self) -> float:
        """The true standard error of a difference of two means."""
        return sqrt(2 * (1 - self.shared) / self.seeds)

    def draw(self, gains: dict[Point, float], chance: random.Random) -> list[Candidate]:
        """Draw points with so many standard errors of a difference more than none."""
        common = [chance.gauss(0, sqrt(self.shared)) for _ in range(self.seeds)]
        stds = dict(self.stds)

        def figure(point: Point, seed: int) -> float:
            own = stds.get(point, 1.0) * chance.gauss(0, sqrt(1 - self.shared))
            return gains[point] * self.error + common[seed] + own

        return [summarize(point, {seed: figure(point, seed) for seed in range(self.seeds)}, 0) for point in gains]


GHOST_NORMS = [Point("main", gm, 0) for gm in GM]
BATCH_NORM, OTHER_GHOST_NORM, GHOST_NORM = Point("main", 1, 0), Point("main", 4, 0), Point("main", 8, 0)
SEQ_NORM = Point("main", 8, 4)
LABELS = {
    SEQ_NORM: "chosen SeqNorm",
    GHOST_NORM: "chosen GhostNorm",
    OTHER_GHOST_NORM: "best GhostNorm",
    BATCH_NORM: "BatchNorm",
    UNNORMALIZED: "no normalization",
}
Said = tuple[bool, bool]  #: whether anything is said to be clear, and whether the planted gain is


def say_after_stage_gc(gain: float, noise: Noise, chance: random.Random) -> Said:
    """Search both stages where one gc is better, and read the verdict on the choice of stage gc."""
    planted = chance.choice(GC[1:])
    of_gm = dict.fromkeys(GHOST_NORMS, 0.0)
    every = {Point("main", gm, gc): gain * (gc == planted) for gm in GM for gc in GC[1:]}
    measured = {each.point: each for each in noise.draw({**of_gm, **every}, chance)}
    base = choose([measured[point] for point in of_gm]).base
    assert base is not None
    stage = [measured[point] for point in every if point.gm == base.gm]
    choice = choose(stage, "best-mean", "gc", reference=measured[base], reference_among=len(GM))
    gained = choice.evidence["gain"]
    assert choice.base is not None
    clear = gained["verdict"] == Verdict.CLEAR
    return clear, clear and gained["gain"] > 0


def say_after_stage_test(gain: float, noise: Noise, chance: random.Random) -> Said:
    """Measure four points and BatchNorm with new seeds, SeqNorm being better, and read every verdict there is."""
    measured = noise.draw({point: gain * (point == SEQ_NORM) for point in LABELS}, chance)
    rows = [MeasuredView.from_test_candidate(each, [LABELS[each.point]]) for each in measured]
    found = {row.point: row.gains for row in add_gains(rows, "max", None)}
    over_batch_norm = found[SEQ_NORM][0]
    return (
        any(each.verdict == Verdict.CLEAR for gains in found.values() for each in gains),
        over_batch_norm.verdict == Verdict.CLEAR and over_batch_norm.gain > 0,
    )


def say_of_two(gain: float, noise: Noise, chance: random.Random) -> Said:
    """Compare two points alone."""
    one, other = noise.draw({SEQ_NORM: gain, BATCH_NORM: 0.0}, chance)
    found = compare(one, other, "max")
    assert found is not None
    return found.verdict == Verdict.CLEAR, found.verdict == Verdict.CLEAR and found.gain > 0


SAYERS = {"choice of stage gc": say_after_stage_gc, "stage test": say_after_stage_test, "two points alone": say_of_two}


def print_verdicts(runs: int) -> None:
    """Print how often anything is said to be clear where nothing differs, and where the gain is 4 standard errors."""
    print_head("where", "seeds", "shared by seed", "spread", "clear, no gain", "clear, 4 SE")
    noises = [(Noise(seeds, shared), "equal") for seeds in (2, 3, 5) for shared in (0.0, 0.7)]
    noises += [(Noise(3, 0.0, ((SEQ_NORM, std), (BATCH_NORM, 1.0))), f"SeqNorm × {std:g}") for std in (2.0, 5.0)]
    for name, say in SAYERS.items():
        for noise, spread in noises:
            if spread != "equal" and name == "choice of stage gc":
                continue
            chance = random.Random(name)
            false = fmean(say(0.0, noise, chance)[0] for _ in range(runs))
            true = fmean(say(4.0, noise, chance)[1] for _ in range(runs))
            power = f"{true:.1%}" if spread == "equal" else "–"
            print(f"| {name} | {noise.seeds} | {noise.shared:.0%} | {spread} | {false:.1%} | {power} |", flush=True)


# The tolerance


def print_tolerance(runs: int) -> None:
    """Print how often the largest value is kept, and a spread called noisy, by the number of candidates."""
    print_head(
        "candidates", "seeds", "largest kept, all equal", "any called noisy, all equal", "noisy found, 5 × the spread"
    )
    for seeds in (2, 3, 5):
        for count in (2, 4, 8):
            chance = random.Random(f"{seeds} {count}")
            points = {Point("main", 2**i, 0): 0.0 for i in range(count)}
            last = list(points)[-1]
            drawn = [Noise(seeds).draw(points, chance) for _ in range(runs)]
            noisy = [Noise(seeds, stds=((last, 5.0),)).draw(points, chance) for _ in range(runs)]
            kept = fmean(choose(each).base == last for each in drawn)
            called = fmean(bool(find_noisy(each)) for each in drawn)
            found = fmean(last in [other.point for other in find_noisy(each)] for each in noisy)
            print(f"| {count} | {seeds} | {kept:.0%} | {called:.0%} | {found:.0%} |", flush=True)
    print()
    print_head(
        "the largest of six gm is worse by", "kept, equal spread", "kept, 5 × the spread", "0.1.0: equal", "0.1.0: 5 ×"
    )
    for worse in (1.0, 2.0, 4.0):
        kept = []
        for choose_it in (rule("largest-stable"), former_largest_stable):
            for std in (1.0, 5.0):
                chance = random.Random(f"{worse} {std}")
                noise, last = Noise(3, stds=((GHOST_NORMS[-1], std),)), GHOST_NORMS[-1]
                gains = {point: -worse / noise.error * (point == last) for point in GHOST_NORMS}
                kept.append(fmean(choose_it(noise.draw(gains, chance), "gm") == last for _ in range(runs)))
        print(f"| {worse:g} | " + " | ".join(f"{share:.1%}" for share in kept) + " |", flush=True)


def print_head(*columns: str) -> None:
    """Print the head of a Markdown table."""
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))


def main() -> None:
    """Print every table of docs/choice.md: half an hour of one core."""
    for name, surfaces, runs, rival_runs, tpe_runs in (
        ("the 24 planted surfaces", list(planted_surfaces()), RUNS, RIVAL_RUNS, TPE_RUNS),
        ("random smooth surfaces", list(random_surfaces()), RANDOM_RUNS, RANDOM_RUNS, 10 * TPE_RUNS),
    ):
        for seeds in (3, 2, 5):
            print(f"\n### Rules on {name}, {seeds} seeds: mean regret in standard deviations of a seed\n", flush=True)
            print_rules(surfaces, runs, seeds)
        print(f"\n### Other strategies on {name}, 3 seeds\n", flush=True)
        print_rivals(surfaces, rival_runs, tpe_runs)
    print("\n### Verdicts\n", flush=True)
    print_verdicts(VERDICT_RUNS)
    print("\n### Tolerance and spread\n", flush=True)
    print_tolerance(VERDICT_RUNS)
