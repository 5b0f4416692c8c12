"""Expands a spec into stages, points and replicates: pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from search.plan.naming import NONE, VARIANT, Value, folder_name, join_name, replace_value, split_name, write_value
from search.plan.rounds import Decision, find_next, list_checks
from search.plan.selection import POINT, Candidate, Choice, Mode, Point, Rule, choose
from search.plan.spec import SearchSpec
from search.plan.strategies import STRATEGIES, Axis, Sweep
from search.plan.strategies.axes import GROUPS
from search.vocabulary.formatting import format_numbers
from search.vocabulary.norms import Norm
from trainers.recipe import Recipe
from trainers.trial import Measure

UNNORMALIZED = Point(NONE, 0, 0)  #: trains without normalization
TEST = "test"  #: the last stage of every search


MAX_STAGE_NAME = 128  # characters: a column is as wide
STAGE_NAME = r"^[A-Za-z_][A-Za-z0-9_]*(-[0-9]+)?$"  #: of every stage: an axis, ``grid`` or ``test``, and the check


def name_folder(point: Point) -> str:
    """Return a point as part of the name of its trials' folders."""
    return f"{folder_name(point.variant)}-gm{point.gm}-gc{point.gc}"


@dataclass(frozen=True)
class Replicate:
    """A point of a stage with one seed: the work of one trial."""

    stage: str
    point: Point
    seed: int

    @property
    def measure(self) -> Measure:
        """The split that its result is measured on."""
        return "test" if self.stage == TEST else "validation"

    @property
    def key(self) -> str:
        """The name of its folder and log, the same for every attempt."""
        point = self.point
        return f"{self.stage}-{name_folder(point)}-seed{self.seed}"


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
    reference: Point | None = None  #: the previous winner, shown for comparison unless it is one of the points
    reference_among: int = 1  #: number of points that it was chosen from

    def replicates(self) -> list[Replicate]:
        """List the replicates seed by seed, so that charts fill evenly."""
        return [Replicate(self.name, point, seed) for seed in self.seeds for point in self.points]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The stages of a search; a stage that depends on a winner is built once there is one."""

    spec: SearchSpec
    metric: str  #: compared between candidates
    mode: Mode
    sweeps: tuple[Sweep, ...]  #: of the first pass over the axes, in order
    trains_unnormalized: bool = True  #: whether stage ``test`` trains without normalization, too

    @property
    def checks(self) -> list[Sweep]:
        """The sweeps of all checks that there may be after the first pass, in order."""
        return list_checks(self.sweeps, self.spec.most_checks, self.spec.check_rule)

    @property
    def stage_names(self) -> tuple[str, ...]:
        """The stages that there may be, in order; all but the last make a choice."""
        return (*(sweep.stage for sweep in (*self.sweeps, *self.checks)), TEST)

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The parameters that are tuned, in order."""
        return tuple(axis for sweep in self.sweeps for axis in sweep.axes)

    def next_sweep(self, decisions: Sequence[Decision]) -> Sweep | None:
        """Return what is tuned after the stages that are decided; None if only stage ``test`` is left."""
        return find_next(self.sweeps, self.checks, decisions)

    def next_stage(self, decisions: Sequence[Decision]) -> Stage:
        """Build the stage that follows the decided ones; ``test`` if nothing is left to tune."""
        sweep = self.next_sweep(decisions)
        if sweep is None:
            return self.build_stage(TEST, list_finalists(decisions))
        return self.build_stage(sweep.stage, [decisions[-1].base] if decisions else [])

    def list_sweeps(self, decisions: Sequence[Decision]) -> list[Sweep]:
        """Return the sweeps of the first pass, and of the checks that are decided or come next."""
        following = self.next_sweep(decisions)
        known = {decision.stage for decision in decisions} | ({following.stage} if following else set())
        return [*self.sweeps, *(sweep for sweep in self.checks if sweep.stage in known)]

    def build_stage(self, name: str, winners: Sequence[Point]) -> Stage:
        """Build a stage from the winners of earlier stages; a tuning stage starts from the last winner."""
        if name == TEST:
            seq_norms_first = sorted(winners, key=lambda point: point.norm != Norm.SEQ)
            points = tuple(dict.fromkeys([*seq_norms_first, *self.baselines().points]))
            return Stage(name=TEST, points=points, seeds=tuple(self.spec.test_seed_values), measure="test")
        sweeps = [*self.sweeps, *self.checks]
        sweep = next(each for each in sweeps if each.stage == name)
        base = None if sweep == self.sweeps[0] else winners[-1]
        points = sweep.points([base] if base else self._starts())
        return Stage(
            name=name,
            points=points,
            seeds=tuple(self.spec.seeds),
            axis=sweep.axis,
            rule=sweep.rule,
            tolerance=self.spec.tolerance,
            reference=None if base in points else base,
            reference_among=sweeps[sweeps.index(sweep) - 1].num_points if base else 1,
        )

    def describe_check(self, decision: Decision, before: Sequence[Decision]) -> str:
        """Return what a check has found, as a sentence for people; empty for a stage of the first pass."""
        sweep = next((sweep for sweep in self.checks if sweep.stage == decision.stage), None)
        if sweep is None:
            return ""
        (axis,), base = sweep.axes, before[-1].base
        others = [f"{other.name}={write_value(other.read(base))}" for other in self.axes if other != axis]
        was, found = (write_value(axis.read(point)) for point in (base, decision.base))
        result = f"{axis.name}={was} stays" if was == found else f"{axis.name} changes from {was} to {found}"
        return f"Checked at {', '.join(others)}: {result}. "

    def baselines(self) -> Stage:
        """Return the part of stage ``test`` that depends on no choice: BatchNorm, and no normalization, if wanted."""
        wanted = {"batchnorm": self.batch_norm} | ({"none": UNNORMALIZED} if self.trains_unnormalized else {})
        points = tuple(point for name, point in wanted.items() if name in self.spec.baselines)
        return Stage(name=TEST, points=points, seeds=tuple(self.spec.test_seed_values), measure="test")

    @property
    def batch_norm(self) -> Point:
        """The baseline BatchNorm."""
        start = self._starts()[0]
        return replace(start, variant=replace_value(start.variant, VARIANT, self.spec.own_variant))

    def label(self, point: Point, winners: Sequence[Point]) -> list[str]:
        """Return what a point of stage ``test`` is; baselines name numbers that are not the recipe's own."""
        overrides = self.spec.variants.get(self.spec.own_variant)
        with_numbers = f" with {format_numbers(overrides)}" if overrides else ""
        baselines = {self.batch_norm: "BatchNorm", UNNORMALIZED: str(Norm.NONE)}
        of_kind = [winner for winner in winners if winner.norm == point.norm]  # what is built upon comes last
        labels = [f"{'chosen' if point == of_kind[-1] else 'best'} {point.norm}"] if point in of_kind else []
        return [*labels, *([baselines[point] + with_numbers] if point in baselines else [])]

    def _starts(self) -> list[Point]:
        """Return where tuning starts: one point, or in an old search, without an axis of variants, one of each."""
        axes = {axis.name: axis for axis in self.axes}
        values = {name: write_value(axis.start) for name, axis in axes.items() if name not in (*GROUPS, VARIANT)}
        variants = [*self.spec.variants][:1] if VARIANT in axes else self.spec.variants
        groups = {name: int(axes[name].start) for name in GROUPS}
        return [Point(join_name(variant, values), **groups) for variant in variants]

    def read_values(self, point: Point) -> dict[str, Value]:
        """Return the value of a point on each axis; without normalization the further ones are those of BatchNorm."""
        placed = replace(self.batch_norm, gm=0, gc=0) if point == UNNORMALIZED else point
        values = {axis.name: axis.read(placed) for axis in self.axes}
        return {**values, VARIANT: split_name(placed.variant)[0]} if VARIANT in values else values

    def count_replicates(self, decisions: Sequence[Decision] = ()) -> dict[str, int]:
        """Return the largest number of replicates by stage, after the stages that are decided.

        Some of them are linked to trials of earlier stages. ``test`` has fewer if points coincide, and another point if
        stage gm reports another GhostNorm than it builds on.
        """
        following = self.next_sweep(decisions)
        decided = {decision.stage for decision in decisions}
        every = [*self.sweeps, *self.checks]
        left = every[every.index(following) :] if following else []
        sizes = {sweep.stage: sweep.num_points for sweep in every if sweep.stage in decided or sweep in left}
        if self.sweeps[0].stage in sizes:
            sizes[self.sweeps[0].stage] *= len(self._starts())
        measured = self._count_measured(decisions) if left else len(self.next_stage(decisions).points)
        return {stage: count * len(self.spec.seeds) for stage, count in sizes.items()} | {
            TEST: measured * self.spec.test_seeds
        }

    def count_trials(self) -> dict[str, int]:
        """Return the maximum number of trials to train by stage: the point that a stage starts from is measured."""
        known = {sweep.stage for sweep in self.sweeps[1:] if sweep.axes[0].start in sweep.axes[0].values}
        known |= {sweep.stage for sweep in self.checks}
        return {
            stage: count - len(self.spec.seeds) * (stage in known) for stage, count in self.count_replicates().items()
        }

    def _count_measured(self, decisions: Sequence[Decision]) -> int:
        """Count the points of stage ``test`` before all is decided, as one of each kind until more is known."""
        position = next(i for i, sweep in enumerate(self.sweeps) if any(axis.name == "gc" for axis in sweep.axes))
        ghost_norms = int(position > 0)  # tuned before gc
        if 0 < position <= len(decisions):
            ghost_norms = len(decisions[position - 1].finalists)
        return len(self.baselines().points) + self.sweeps[position].num_norms + ghost_norms


def list_finalists(decisions: Sequence[Decision]) -> list[Point]:
    """Return what stage ``test`` measures beside the baselines: what the last stage kept, and the last GhostNorms."""
    ghost_norms = next((each.finalists for each in reversed(decisions) if each.base.norm == Norm.GHOST), ())
    return list(dict.fromkeys([*ghost_norms, *decisions[-1].finalists]))


def select_finalists(stage: Stage, candidates: Sequence[Candidate], choice: Choice, mode: Mode) -> list[Point]:
    """Return the points that a stage passes on: its choice, preceded by what stage ``test`` measures beside it.

    A stage of GhostNorms keeps the one with the best mean too, which the paper reports on CIFAR-10, where it builds on
    another. A grid keeps the best of each other kind of norm.
    """
    if choice.point is None:
        return []
    assert stage.rule is not None  # only `test` has none
    assert stage.axis is not None
    if stage.axis != POINT:
        return choice.kept if choice.point.norm == Norm.GHOST else [choice.point]
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
        sweeps=STRATEGIES[spec.strategy].make_sweeps(make_axes(spec, recipe)),
        trains_unnormalized=recipe.trains_unnormalized,
    )


def make_axes(spec: SearchSpec, recipe: Recipe) -> tuple[Axis, ...]:
    """Return the axes of a search, in order. They start from BatchNorm and the recipe's own numbers."""
    first = next(iter(spec.variants))
    axes = [
        Axis(name="gm", values=tuple(spec.gm), rule=spec.gm_rule, start=1),
        Axis(name="gc", values=tuple(spec.gc), rule=spec.gc_rule, start=0),
        Axis(name=VARIANT, values=tuple(spec.variants), rule=spec.vary_rule, start=first),
    ]
    if spec.vary:
        numbers = spec.resolve_numbers(recipe, first)
        axes += [
            Axis(name=name, values=tuple(values), rule=spec.vary_rule, start=getattr(numbers, name))
            for name, values in spec.vary.items()
        ]
    by_name = {axis.name: axis for axis in axes}
    return tuple(by_name[name] for name in spec.axes)


def count_groups(point: Point, numbers: Any) -> dict[str, int | None]:
    """Return the number of groups over the whole batch, and the samples per group; None where a command hides them."""
    if point.gm == 0:
        return {"gm_total": 0, "group_size": None}
    batch = getattr(numbers, "batch", None)
    if batch is None:
        return {"gm_total": None, "group_size": None}
    total = point.gm * getattr(numbers, "devices", 1)
    return {"gm_total": total, "group_size": batch // total}
