"""The demo's space with real training: what the sequential search finds of the grid, over sets of seeds.

``python -m tests.benchmarks.demo_choice --sets 10`` trains every point of ``make demo`` once for each set of seeds, on
the bundled MNIST images. Figures are appended to a file, so that a second call goes on where the first one stopped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from search.plan.selection import Candidate, Point, choose, summarize
from trainers.recipe import find, resolve
from trainers.trial import Measure, Params

RECIPE = find("mnist-simplenet")
GM, GC = (1, 2, 4, 8, 16, 32, 64, 128), (1, 2, 4)  # of make demo
FIRST_TEST_SEED = 100_000
RULES = [
    ("largest-stable", None),
    ("largest-stable", "best-mean"),
    ("best-mean", "best-mean"),
    ("cautious-mean", "cautious-mean"),
]


@dataclass(frozen=True)
class Training:
    """One training of a point."""

    seed_set: int
    gm: int
    gc: int
    seed: int
    measure: Measure
    epochs: int


def list_trainings(sets: int, epochs: int, seeds: int, test_seeds: int) -> Iterator[Training]:
    """Yield the whole grid for each set of seeds: on the validation split, and with new seeds on the test set."""
    for seed_set in range(sets):
        first = seed_set * max(seeds, test_seeds)
        for gm in GM:
            for gc in (0, *GC):
                for seed in range(first, first + seeds):
                    yield Training(seed_set, gm, gc, seed, "validation", epochs)
                for seed in range(first, first + test_seeds):
                    yield Training(seed_set, gm, gc, FIRST_TEST_SEED + seed, "test", epochs)


@cache
def _data(epochs: int) -> tuple[Any, Any]:
    import torch

    torch.set_num_threads(1)
    numbers = RECIPE.with_overrides({"epochs": epochs})
    return numbers, resolve(RECIPE.load)(numbers, None, Path())


def train(training: Training) -> float:
    """Return the accuracy of one training."""
    numbers, data = _data(training.epochs)
    params = Params(
        gm=training.gm,
        gc=training.gc,
        seed=training.seed,
        numbers=numbers,
        data=data,
        measure=training.measure,
        recipe=RECIPE.name,
    )
    value: float = resolve(RECIPE.run)(params, lambda **_: None).value
    return value


def train_missing(trainings: Sequence[Training], file: Path, processes: int) -> dict[Training, float]:
    """Train what the file does not have yet, and return every figure."""
    lines = file.read_text().splitlines() if file.exists() else []
    found = {Training(**line["training"]): line["accuracy"] for line in map(json.loads, lines)}
    missing = [training for training in trainings if training not in found]
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool, file.open("a") as opened:
        for training, accuracy in zip(missing, pool.map(train, missing), strict=True):
            found[training] = accuracy
            print(json.dumps({"training": asdict(training), "accuracy": accuracy}), file=opened, flush=True)
    return {training: found[training] for training in trainings}


def search(candidates: dict[Point, Candidate], rule: str, check_rule: str | None) -> tuple[Point, int]:
    """Search in sequence among measured candidates, with one check if there is a rule for it."""
    seen: dict[Point, int] = {}

    def tune(points: list[Point], by: str, axis: str) -> Point:
        seen.update({point: candidates[point].n for point in points})
        chosen = choose([candidates[point] for point in points], by, axis).base
        assert chosen is not None
        return chosen

    base = tune([Point("main", gm, 0) for gm in GM], rule, "gm")
    base = tune([Point("main", base.gm, gc) for gc in GC], "best-mean", "gc")
    if check_rule:
        checked = tune([Point("main", gm, base.gc) for gm in GM], check_rule, "gm")
        if checked != base:
            base = tune([Point("main", checked.gm, gc) for gc in GC], check_rule, "gc")
    return base, sum(seen.values())


def print_results(figures: dict[Training, float]) -> None:
    """Print for each rule: agreement with the grid, regret on the test set, and trials."""

    def by_point(select: Callable[[Training], bool]) -> dict[Point, Candidate]:
        values: dict[Point, dict[int, float]] = {}
        for training, accuracy in figures.items():
            if select(training):
                values.setdefault(Point("main", training.gm, training.gc), {})[training.seed] = accuracy
        return {point: summarize(point, of_seeds, 0) for point, of_seeds in values.items()}

    tests = {point: each.mean or 0.0 for point, each in by_point(lambda t: t.measure == "test").items() if point.gc}
    sets = sorted({training.seed_set for training in figures})
    best = max(tests, key=lambda point: tests[point])
    print(f"Best on the test set over {len(sets)} sets of seeds: {best}, {tests[best]:.4f}\n")
    print("| rule, first pass / check | the grid's point | regret on the test set | trials |\n|---|---|---|---|")
    grid_losses = []
    results: dict[str, list[tuple[bool, float, int]]] = {}
    for seed_set in sets:
        found = by_point(lambda t, s=seed_set: t.seed_set == s and t.measure == "validation")  # type: ignore[misc]
        grid = choose([each for point, each in found.items() if point.gc], "best-mean", "point").base
        assert grid is not None
        grid_losses.append(tests[best] - tests[grid])
        for rule, check in RULES:
            point, trials = search(found, rule, check)
            name = f"{rule} / {check}" if check else rule
            results.setdefault(name, []).append((point == grid, tests[best] - tests[point], trials))
    for name, rows in results.items():
        agreed, losses, trials = zip(*rows, strict=True)
        print(f"| {name} | {sum(agreed)} of {len(rows)} | {_mean(losses)} | {fmean(trials):.0f} |")
    whole = len([t for t in figures if t.measure == "validation" and t.gc]) // len(sets)
    print(f"| whole grid, best mean | – | {_mean(grid_losses)} | {whole} |")


def _mean(values: Sequence[float]) -> str:
    return f"{fmean(values):.4f}" + (f" ± {stdev(values) / len(values) ** 0.5:.4f}" if len(values) > 1 else "")


def main() -> None:
    """Train what is missing and print the table."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--sets", type=int, default=10, help="sets of seeds")
    flags.add_argument("--seeds", type=int, default=3, help="seeds on the validation split, in each set")
    flags.add_argument("--test-seeds", type=int, default=1, help="seeds on the test set, in each set")
    flags.add_argument("--epochs", type=int, default=10)
    flags.add_argument("--processes", type=int, default=2)
    flags.add_argument("--file", type=Path, default=Path("demo-choice.jsonl"), help="keeps the figures")
    given = flags.parse_args()
    trainings = list(list_trainings(given.sets, given.epochs, given.seeds, given.test_seeds))
    print_results(train_missing(trainings, given.file, given.processes))


if __name__ == "__main__":
    main()
