"""Expands a spec into stages, points and replicates: pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from search.plan.selection import Candidate, Choice, Mode, Point, Rule, choose
from search.plan.spec import SearchSpec
from search.plan.strategies import STRATEGIES, Sweep, list_sweeps
from search.vocabulary.norms import Norm
from trainers.recipe import Recipe
from trainers.trial import Measure

UNNORMALIZED = Point("none", 0, 0)  #: trains without normalization
TEST = "test"  #: the last stage of every search


@dataclass(frozen=True)
class Replicate:
    """A point of a stage with one seed: the work of one trial."""

    stage: str
    point: Point
    seed: int

    @property
    def key(self) -> str:
        """The name of its folder and log, the same for every attempt."""
        point = self.point
        return f"{self.stage}-{point.variant}-gm{point.gm}-gc{point.gc}-seed{self.seed}"


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A sweep over points × seeds that ends with one choice, except for ``test``."""

    name: str
    points: tuple[Point, ...]
    seeds: tuple[int, ...]
    measure: Measure = "validation"
    axis: str | None = None  #: the parameter tuned, `point` if there are several; None for `test`
    rule: Rule | None = None
    tolerance: float | Literal["auto"] = "auto"
    reference: Point | None = None  #: the previous winner, shown for comparison

    def replicates(self) -> list[Replicate]:
        """List the replicates seed by seed, so that charts fill evenly."""
        return [Replicate(self.name, point, seed) for seed in self.seeds for point in self.points]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The stages of a search; a stage that depends on a winner is built once there is one."""

    spec: SearchSpec
    metric: str  #: compared between candidates
    mode: Mode
    sweeps: tuple[Sweep, ...]  #: of the tuning stages, in order
    trains_unnormalized: bool = True  #: whether stage ``test`` trains without normalization, too

    @property
    def stage_names(self) -> tuple[str, ...]:
        """The stages in order; all but the last make a choice."""
        return (*(sweep.stage for sweep in self.sweeps), TEST)

    def build_stage(self, name: str, winners: Sequence[Point]) -> Stage:
        """Build a stage from the winners of earlier stages; a tuning stage starts from the last winner."""
        if name == TEST:
            seq_norms_first = sorted(winners, key=lambda point: point.norm != Norm.SEQ)
            points = tuple(dict.fromkeys([*seq_norms_first, *self.baselines().points]))
            return Stage(name=TEST, points=points, seeds=tuple(self.spec.test_seed_values), measure="test")
        position = self.stage_names.index(name)
        sweep, base = self.sweeps[position], winners[-1] if position else None
        return Stage(
            name=name,
            points=sweep.points([base] if base else map(self._start, self.spec.variants)),
            seeds=tuple(self.spec.seeds),
            axis=sweep.axis,
            rule=sweep.rule,
            tolerance=self.spec.tolerance,
            reference=base,
        )

    def baselines(self) -> Stage:
        """Return the part of stage ``test`` that depends on no choice: BatchNorm, first, and no normalization."""
        batch_norm = self._start(next(iter(self.spec.variants)))
        points = (batch_norm, UNNORMALIZED) if self.trains_unnormalized else (batch_norm,)
        return Stage(name=TEST, points=points, seeds=tuple(self.spec.test_seed_values), measure="test")

    def _start(self, variant: str) -> Point:
        """Return the point where tuning of a variant starts."""
        return Point(variant, **{axis.name: axis.start for axis in self.spec.axes})

    def count_trials(self) -> dict[str, int]:
        """Return the maximum number of trials by stage; ``test`` needs fewer if points coincide."""
        first, *later = self.sweeps
        points = {first.stage: first.num_points * len(self.spec.variants)} | {
            sweep.stage: sweep.num_points for sweep in later
        }
        measured = len(self.baselines().points) + sum(sweep.num_norms for sweep in self.sweeps)
        return {stage: count * len(self.spec.seeds) for stage, count in points.items()} | {
            TEST: measured * self.spec.test_seeds
        }


def select_finalists(stage: Stage, candidates: Sequence[Candidate], choice: Choice, mode: Mode) -> list[Point]:
    """Return the points that a stage passes on: its choice, preceded by the best of each other kind of norm.

    Stage ``test`` measures one of each kind; a sequential search gets a GhostNorm and a SeqNorm, one from each stage.
    """
    if choice.point is None:
        return []
    assert stage.rule is not None  # only `test` has none
    assert stage.axis is not None
    finalists = []
    for norm in Norm:
        if norm != choice.point.norm and (of_kind := [each for each in candidates if each.point.norm == norm]):
            finalists.append(choose(of_kind, stage.rule, stage.axis, mode, stage.tolerance).point)
    return [*filter(None, finalists), choice.point]


def make_plan(spec: SearchSpec, recipe: Recipe) -> Plan:
    """Create the plan of a spec."""
    return Plan(
        spec=spec,
        metric=recipe.metric,
        mode=recipe.mode,
        sweeps=spec.sweeps,
        trains_unnormalized=recipe.trains_unnormalized,
    )


def list_stages() -> list[str]:
    """Return the names of the stages of all strategies."""
    return [*dict.fromkeys(sweep.stage for strategy in STRATEGIES for sweep in list_sweeps(strategy)), TEST]


def label_test_point(point: Point, winners: Sequence[Point], baseline: Point) -> list[str]:
    """Return the labels of a point in stage ``test``."""
    labels = []
    for winner in winners:
        if point == winner:
            labels.append(f"chosen {winner.norm}")
    if point == baseline:
        labels.append("BatchNorm")
    if point == UNNORMALIZED:
        labels.append("no normalization")
    return labels


def count_groups(point: Point, numbers: Any) -> dict[str, int | None]:
    """Return the number of groups over the whole batch, and the samples per group; None where a command hides them."""
    if point.gm == 0:
        return {"gm_total": 0, "group_size": None}
    batch = getattr(numbers, "batch", None)
    if batch is None:
        return {"gm_total": None, "group_size": None}
    total = point.gm * getattr(numbers, "devices", 1)
    return {"gm_total": total, "group_size": batch // total}
