"""What a spec means in stages, points and replicates: pure functions, nothing that runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from search.selection import Candidate, Choice, Mode, Point, Rule, choose
from search.spec import SearchSpec
from trainers.recipe import Recipe
from trainers.trial import Measure

NONE = Point("none", 0, 0)  #: trains without normalization


@dataclass(frozen=True)
class Replicate:
    """What one trial trains: a point of a stage, with one seed."""

    stage: str
    point: Point
    seed: int

    @property
    def key(self) -> str:
        """Name it in a folder: the same for every attempt at it."""
        point = self.point
        return f"{self.stage}-{point.variant}-gm{point.gm}-gc{point.gc}-seed{self.seed}"


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A sweep over points × seeds that ends with one choice; ``test`` chooses nothing."""

    name: str
    points: tuple[Point, ...]
    seeds: tuple[int, ...]
    measure: Measure = "validation"
    axis: str | None = None  #: the parameter searched; None for `test`
    rule: Rule | None = None
    tolerance: float | Literal["auto"] = "auto"
    reference: Point | None = None  #: shown beside the candidates: the winner of the stage before

    def replicates(self) -> list[Replicate]:
        """List what to train: every point once before any point twice, so that pictures fill in evenly."""
        return [Replicate(self.name, point, seed) for seed in self.seeds for point in self.points]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The stages of a search; a stage whose space depends on a winner is built when there is one."""

    spec: SearchSpec
    metric: str  #: what candidates are compared by
    mode: Mode

    @property
    def stage_names(self) -> tuple[str, ...]:
        """The stages in order; all but the last choose."""
        return ("gm", "gc", "test") if self.spec.strategy == "sequential" else ("grid", "test")

    def stage(self, name: str, winners: Sequence[Point]) -> Stage:
        """Build a stage from the winners of the stages before it."""
        spec, seeds = self.spec, tuple(self.spec.seeds)
        if name == "gm":
            points = tuple(Point(variant, gm, 0) for variant in spec.variants for gm in spec.gm)
            return Stage(name=name, points=points, seeds=seeds, axis="gm", rule=spec.gm_rule, tolerance=spec.tolerance)
        if name == "gc":
            best = winners[-1]
            points = tuple(Point(best.variant, best.gm, gc) for gc in spec.gc)
            return Stage(
                name=name,
                points=points,
                seeds=seeds,
                axis="gc",
                rule=spec.gc_rule,
                tolerance=spec.tolerance,
                reference=best,
            )
        if name == "grid":
            points = tuple(Point(variant, gm, gc) for variant in spec.variants for gm in spec.gm for gc in spec.gc)
            return Stage(
                name=name, points=points, seeds=seeds, axis="point", rule=spec.gc_rule, tolerance=spec.tolerance
            )
        points = tuple(dict.fromkeys([*winners[::-1], *self.baselines().points]))
        return Stage(name="test", points=points, seeds=tuple(spec.fresh_seeds), measure="test")

    def baselines(self) -> Stage:
        """Return the part of stage ``test`` that needs no choice: BatchNorm and no normalization."""
        batch_norm = Point(next(iter(self.spec.variants)), 1, 0)
        return Stage(name="test", points=(batch_norm, NONE), seeds=tuple(self.spec.fresh_seeds), measure="test")

    def size(self) -> dict[str, int]:
        """Count the trials of each stage, the most they can be; ``test`` may need fewer where points coincide."""
        spec = self.spec
        seeds, variants = len(spec.seeds), len(spec.variants)
        if spec.strategy == "sequential":
            return {
                "gm": variants * len(spec.gm) * seeds,
                "gc": len(spec.gc) * seeds,
                "test": (len(self.baselines().points) + 2) * spec.test_seeds,
            }
        grid = variants * len(spec.gm) * len(spec.gc) * seeds
        kinds = len({bool(gc) for gc in spec.gc})
        return {"grid": grid, "test": (len(self.baselines().points) + kinds) * spec.test_seeds}


def finalists(stage: Stage, candidates: Sequence[Candidate], choice: Choice, mode: Mode) -> list[Point]:
    """Return the points that a decided stage sends on: its choice, and for a grid the best of the other kind too.

    Stage ``test`` measures a GhostNorm (gc = 0) and a SeqNorm; a sequential search has one of each from its two stages.
    """
    if choice.point is None:
        return []
    if stage.axis != "point":
        return [choice.point]
    other = [c for c in candidates if bool(c.gc) != bool(choice.point.gc)]
    best = choose(other, stage.rule or "best-mean", "point", mode, stage.tolerance).point
    found = [point for point in (choice.point, best) if point]
    return sorted(found, key=lambda point: bool(point.gc))


def plan_of(spec: SearchSpec, recipe: Recipe) -> Plan:
    """Plan a spec."""
    return Plan(spec=spec, metric=recipe.metric, mode=recipe.mode)


def test_labels(point: Point, winners: Sequence[Point], baseline: Point) -> list[str]:
    """Name the parts that a point plays in stage ``test``."""
    labels = []
    for winner in winners:
        if point == winner:
            labels.append("chosen SeqNorm" if winner.gc else "chosen GhostNorm")
    if point == baseline:
        labels.append("BatchNorm")
    if point == NONE:
        labels.append("no normalization")
    return labels


def groups_of(point: Point, numbers: Any) -> dict[str, int | None]:
    """Say what a point's gm means in samples: groups over the whole batch, and their size."""
    if point.gm == 0:
        return {"gm_total": 0, "group_size": None}
    total = point.gm * numbers.devices
    return {"gm_total": total, "group_size": numbers.batch // total}
