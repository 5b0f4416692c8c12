"""What others do with as many trials: a grid, random search, successive halving and Optuna's TPE.

They search the points with GroupNorm on, 30 of them, and end with the best mean, as our stage gc does.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from math import ceil
from statistics import fmean

import optuna

from tests.benchmarks.surfaces import GC, GM, Surface

Pair = tuple[int, int]
Measure = Callable[[Pair], float]  #: trains a point with a new seed
PAIRS = [(gm, gc) for gm in GM for gc in GC[1:]]


def measure_on(surface: Surface, chance: random.Random) -> Measure:
    """Return what measures a point of a surface."""
    return lambda pair: chance.gauss(surface.accuracy[pair], surface.std[pair[0]])


def whole_grid(measure: Measure, trials: int, seeds: int, chance: random.Random) -> Pair:
    """Train every point with every seed, whatever that costs."""
    return max(PAIRS, key=lambda pair: fmean(measure(pair) for _ in range(seeds)))


def random_search(measure: Measure, trials: int, seeds: int, chance: random.Random) -> Pair:
    """Train as many random points as there are trials for, each with every seed."""
    return max(chance.sample(PAIRS, trials // seeds), key=lambda pair: fmean(measure(pair) for _ in range(seeds)))


def random_search_of_one_seed(measure: Measure, trials: int, seeds: int, chance: random.Random) -> Pair:
    """Train random points with one seed each, and a second one if trials are left."""
    order = chance.sample(PAIRS, len(PAIRS))
    figures: dict[Pair, list[float]] = {}
    for trial in range(trials):
        pair = order[trial % len(order)]
        figures.setdefault(pair, []).append(measure(pair))
    return max(figures, key=lambda pair: fmean(figures[pair]))


def successive_halving(measure: Measure, trials: int, seeds: int, chance: random.Random) -> Pair:
    """Train points with one seed, and the better half again and again with as many seeds more as it has.

    It starts with as many points as the trials allow, and gives what is left to the last two.
    """
    for start in range(len(PAIRS), 1, -1):
        if _cost(start) <= trials:
            break
    alive, each = chance.sample(PAIRS, start), 1
    figures: dict[Pair, list[float]] = {pair: [] for pair in alive}
    while True:
        for pair in alive:
            while len(figures[pair]) < each:
                figures[pair].append(measure(pair))
                trials -= 1
        alive.sort(key=lambda pair: -fmean(figures[pair]))
        if len(alive) <= 2:
            break
        alive, each = alive[: ceil(len(alive) / 2)], 2 * each
    for turn in range(trials):
        figures[alive[turn % len(alive)]].append(measure(alive[turn % len(alive)]))
    return max(alive, key=lambda pair: fmean(figures[pair]))


def _cost(points: int) -> int:
    """Return the trials of successive halving from so many points."""
    total, each = points, 1
    while points > 2:
        points, total = ceil(points / 2), total + ceil(points / 2) * each
        each *= 2
    return total


def tpe(measure: Measure, trials: int, seeds: int, chance: random.Random) -> Pair:
    """Let Optuna's TPE, at its defaults, choose each trial from all earlier ones."""
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=chance.randrange(2**32)))
    figures: dict[Pair, list[float]] = {}
    for _ in range(trials):
        trial = study.ask()
        pair = (GM[trial.suggest_int("gm", 0, len(GM) - 1)], GC[trial.suggest_int("gc", 1, len(GC) - 1)])
        figures.setdefault(pair, []).append(measure(pair))
        study.tell(trial, figures[pair][-1])
    return max(figures, key=lambda pair: fmean(figures[pair]))


def tpe_of_the_best_trial(measure: Measure, trials: int, seeds: int, chance: random.Random) -> Pair:
    """As ``tpe``, but end with the best single trial, as ``study.best_params`` does."""
    figures: dict[float, Pair] = {}

    def remember(pair: Pair) -> float:
        figure = measure(pair)
        figures[figure] = pair
        return figure

    tpe(remember, trials, seeds, chance)
    return figures[max(figures)]


RIVALS = {
    "random search, every seed": random_search,
    "random search, one seed": random_search_of_one_seed,
    "successive halving": successive_halving,
    "Optuna's TPE, best mean": tpe,
    "Optuna's TPE, best trial": tpe_of_the_best_trial,
}
