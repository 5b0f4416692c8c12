"""From the fields that a person gives to a stored search: everything is checked before anything is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from search.digest import ABSENT, digest_of
from search.errors import InvalidSpec
from search.plan import Plan, plan_of
from search.settings import Settings
from search.spec import SearchSpec, parse_spec
from search.store import searches
from search.store.database import Connection
from trainers.recipe import Recipe, RecipeError, find, resolve


@dataclass(frozen=True)
class Submission:
    """A search that can be run, and is not stored yet."""

    spec: SearchSpec
    plan: Plan
    digest: dict[str, str]

    def store(self, connection: Connection, owner: str = "local") -> str:
        """Store the search, queued; return its id."""
        return searches.submit(connection, self.spec, self.plan, self.digest, owner)


def prepare(settings: Settings, fields: dict[str, Any]) -> Submission:
    """Check what somebody wants to have searched, without torch.

    Raises:
        InvalidSpec: with the first thing that is wrong.
    """
    spec = parse_spec(fields)
    recipe = find(spec.recipe)
    digest = digest_of(spec, recipe, settings.home)
    if digest["data"] == ABSENT:
        _refuse_without_data(spec, recipe, settings)
    return Submission(spec, plan_of(spec, recipe), digest)


def _refuse_without_data(spec: SearchSpec, recipe: Recipe, settings: Settings) -> None:
    """Let the recipe say what it misses, and where to put it.

    Raises:
        InvalidSpec: with what its loading says.
    """
    try:
        resolve(recipe.load)(spec.numbers_of(recipe, next(iter(spec.variants))), spec.data, settings.home)
    except RecipeError as error:
        raise InvalidSpec(str(error)) from None
