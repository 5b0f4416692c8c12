"""What a search may ask for, the same for REST, pages and command line: the operator's ceilings, and what there is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from search.engine.host import read_capacity
from search.engine.resources import TrialResources
from search.plan.spec import NumberValue, SearchSpec
from search.plan.stages import TEST, Plan
from search.settings import ENV_PREFIX, Settings
from search.vocabulary.errors import InvalidSpec

AllNumbers = Mapping[str, Mapping[str, NumberValue]]  #: the recipe's numbers, by variant


def require_within_ceilings(settings: Settings, spec: SearchSpec, plan: Plan, numbers: AllNumbers) -> None:
    """Refuse a search that asks for more than the operator allows.

    Raises:
        InvalidSpec: naming the ceiling and its setting.
    """
    if spec.cpus < settings.min_cpus:
        _refuse("cpus", f"at least {settings.min_cpus:g}", spec.cpus, "min_cpus", "more")
    for name, asked, setting in _asked(spec, plan, numbers):
        ceiling = getattr(settings, setting)
        if ceiling and asked > ceiling:
            _refuse(name, f"at most {ceiling:.16g}", asked, setting, "less")
    if not settings.ray_address and settings.worker and settings.has_own_database:
        _require_host_fits(spec)


def _require_host_fits(spec: SearchSpec) -> None:
    """Refuse trials that no private Ray of this host can ever run; the driver refuses what a cluster cannot.

    Raises:
        InvalidSpec: with what there is.
    """
    needs = TrialResources(cpus=spec.cpus, gpus=spec.gpus, memory_bytes=int((spec.memory_gb or 0) * 1e9) or None)
    capacity = read_capacity()
    if not needs.fits(capacity):
        raise InvalidSpec(
            f"a trial must fit on this host: got {needs}, and the host has "
            f"{needs.describe_node(capacity)}. Ask for less, or name the cluster of the worker (SEQNORM_RAY_ADDRESS)."
        )


def _asked(spec: SearchSpec, plan: Plan, numbers: AllNumbers) -> Iterator[tuple[str, float, str]]:
    """Yield what a search asks for, how much, and the setting with the ceiling."""
    stages = plan.count_trials()
    trials, test_trials = sum(stages.values()), stages[TEST]
    every = [*numbers.values(), *({name: value} for name, values in spec.vary.items() for value in values)]
    of_test = [{**each, **spec.test_numbers} for each in every]
    epochs = (trials - test_trials) * _most(every, "epochs") + test_trials * _most(of_test, "epochs")
    yield "cpus", spec.cpus, "max_cpus"
    yield "gpus", spec.gpus, "max_gpus"
    yield "memory_gb", spec.memory_gb or 0, "max_memory_gb"
    yield "trial_timeout", spec.trial_timeout or 0, "max_trial_seconds"
    yield "the number of trials", trials, "max_trials"
    yield "epochs × trials", epochs, "max_trial_epochs"
    yield "real_devices", _most([*every, *of_test], "real_devices"), "max_node_processes"


def _most(numbers: Iterable[Mapping[str, NumberValue]], name: str) -> int:
    """Return the largest value of a number; 1 if the recipe does not have it."""
    found: list[Any] = [each.get(name) for each in numbers]
    return max((value for value in found if isinstance(value, int)), default=1)


def _refuse(name: str, ceiling: str, asked: float, setting: str, remedy: str) -> None:
    raise InvalidSpec(
        f"{name} must be {ceiling} here: got {asked:.16g}. "
        f"Ask for {remedy}, or ask the operator ({ENV_PREFIX}{setting.upper()})."
    )
