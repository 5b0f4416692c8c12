"""Collects the versions and the resolved numbers of a search at submission."""

from __future__ import annotations

import platform
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from search.plan.naming import NONE
from search.plan.spec import NumberValue, SearchSpec
from search.store.binding import Binding
from search.views import CommandView, Provenance
from trainers.commands.command import Command
from trainers.recipe import Recipe, installed


@cache
def collect_provenance(recipe: str) -> Provenance:
    """Return the versions for a search of a recipe; cached, because reading distributions is slow."""
    point = next((each for each in installed() if each.name == recipe), None)
    package = point.dist if point else None
    return Provenance(
        seqnorm=_version("seqnorm") or "",
        python=platform.python_version(),
        torch=_version("torch"),
        package=package.name if package else None,
        package_version=package.version if package else None,
    )


def describe_command(command: Command, commit: str, bound: Binding | None) -> CommandView:
    """Describe the program of a search as it is submitted; of an operator's, say nothing that may hold keys."""
    return CommandView(
        words=command.words if bound else (),
        folder=command.folder if bound else "",
        commit=commit,
        measures_test=command.measures_test,
        host=bound.host if bound else None,
        user=bound.user if bound else None,
    )


def resolve_all_numbers(spec: SearchSpec, recipe: Recipe) -> dict[str, dict[str, NumberValue]]:
    """Return the resolved numbers of each variant of a search, and of the baselines, outside stage ``test``."""
    baselines = [spec.own_variant, *([NONE] if recipe.trains_unnormalized else [])]
    return {variant: asdict(spec.resolve_numbers(recipe, variant)) for variant in (*spec.variants, *baselines)}


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
