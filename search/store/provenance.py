"""What a search is submitted with: versions, and the numbers that its recipe resolves to."""

from __future__ import annotations

import platform
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from search.plan.spec import NumberValue, SearchSpec
from search.views import Provenance
from trainers.recipe import Recipe, installed


@cache
def collect_provenance(recipe: str) -> Provenance:
    """Return the versions that a search of a recipe is submitted with. It is read once: distributions lie in files."""
    point = next((each for each in installed() if each.name == recipe), None)
    package = point.dist if point else None
    return Provenance(
        seqnorm=_version("seqnorm") or "",
        python=platform.python_version(),
        torch=_version("torch"),
        package=package.name if package else None,
        package_version=package.version if package else None,
    )


def resolve_all_numbers(spec: SearchSpec, recipe: Recipe) -> dict[str, dict[str, NumberValue]]:
    """Return a recipe's numbers as each variant of a search trains with them, the built-in variant ``none`` too."""
    return {variant: asdict(spec.resolve_numbers(recipe, variant)) for variant in (*spec.variants, "none")}


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
