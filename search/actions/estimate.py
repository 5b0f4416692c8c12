"""Estimates the cost of a search before it is submitted, and that of the other strategies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search.actions.ceilings import require_within_ceilings
from search.actions.submit import find_missing_data
from search.plan.spec import SearchSpec, describe_data, find_refused_values, read_spec
from search.plan.stages import TEST, make_plan
from search.plan.strategies import STRATEGIES
from search.settings import Settings
from search.store.provenance import resolve_all_numbers
from search.views import PlanView, RefusedValue
from trainers.commands.command import Command
from trainers.recipe import Recipe


def estimate(
    settings: Settings,
    fields: dict[str, Any],
    seconds_per_trial: float | None = None,
    command: Command | None = None,
) -> PlanView:
    """Count the trials of a search by stage and for every strategy; list what is refused with the reason.

    Args:
        settings: with the operator's ceilings.
        fields: of a search.
        seconds_per_trial: how long its trials take, if known.
        command: that it runs, if it is made from a script or a command line.

    Raises:
        InvalidSpec: if anything except a group count or a data set that is not here is invalid, or above a ceiling.
    """
    spec, recipe = read_spec(fields, settings.home, command)
    require_within_ceilings(settings, spec, make_plan(spec, recipe), resolve_all_numbers(spec, recipe))
    refused = find_refused_values(spec, recipe)
    if missing := find_missing_data(settings, spec, recipe):
        refused.append(("data", missing))
    totals = {strategy: sum(_stages(spec, recipe, strategy).values()) for strategy in STRATEGIES}
    stages = _stages(spec, recipe, spec.strategy)
    return PlanView(
        strategy=spec.strategy,
        stages=stages,
        trials=totals[spec.strategy],
        grid=totals["grid"],
        sequential=totals["sequential"],
        totals=totals,
        refused=tuple(RefusedValue(value=value, reason=reason) for value, reason in refused),
        data=describe_data(spec, recipe),
        seconds=None if seconds_per_trial is None else seconds_per_trial * _count_lengths(spec, recipe, stages),
    )


def _count_lengths(spec: SearchSpec, recipe: Recipe, stages: Mapping[str, int]) -> float:
    """Return how many trials of the tuning stages take as long as all trials; those of stage test may be longer."""
    variant = next(iter(spec.variants))
    tuned, tested = (
        getattr(spec.resolve_numbers(recipe, variant, measure), "epochs", 1) for measure in ("validation", "test")
    )
    return sum(stages.values()) + stages[TEST] * (tested / tuned - 1)


def _stages(spec: SearchSpec, recipe: Recipe, strategy: str) -> dict[str, int]:
    """Count trials by stage; another strategy is counted without gc = 0, which a sequential search always trains."""
    gc = spec.gc if strategy == spec.strategy else [gc for gc in spec.gc if gc] or spec.gc
    return make_plan(spec.model_copy(update={"strategy": strategy, "gc": gc}), recipe).count_trials()
