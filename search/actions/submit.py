"""Stores a search from its fields; everything is checked before anything is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from search.actions.ceilings import require_within_ceilings
from search.plan.digest import ABSENT, compute_digest
from search.plan.recipes import find_recipe
from search.plan.spec import NumberValue, SearchSpec, describe_data, parse_spec
from search.plan.stages import Plan, make_plan
from search.settings import Settings
from search.store import searches
from search.store.binding import Binding
from search.store.database import Connection
from search.store.opening import open_store
from search.store.provenance import collect_provenance, describe_command, resolve_all_numbers
from search.views import CommandView
from search.vocabulary.errors import InvalidSpec
from trainers.commands.command import Command
from trainers.recipe import Recipe, RecipeError, resolve


@dataclass(frozen=True)
class Submission:
    """A valid search that is not stored yet."""

    spec: SearchSpec
    plan: Plan
    digest: dict[str, str]
    numbers: dict[str, dict[str, NumberValue]]  #: the recipe's, as each variant trains with them
    data: str  #: what was found in the data set; nothing if none is named
    command: Command | None = None  #: the program, if it was made from a script or a command line
    described: CommandView | None = None  #: the program, also if a file of the operator describes it

    def store(self, connection: Connection, owner: str = "local") -> str:
        """Store the search, queued; return its id."""
        return self._submit(connection, owner)

    def _submit(self, connection: Connection, owner: str, parent: str | None = None) -> str:
        return searches.submit(
            connection,
            self.spec,
            self.plan,
            self.digest,
            owner,
            parent,
            numbers=self.numbers,
            provenance=collect_provenance(self.spec.recipe).model_copy(
                update={"data": self.data, "command": self.described}
            ),
            command=self.command,
        )


def prepare(settings: Settings, fields: dict[str, Any], command: Command | None = None) -> Submission:
    """Check the fields of a search, without torch.

    Args:
        settings: the home folder, and the operator's ceilings.
        fields: of the search.
        command: that it runs, if it is made from a script or a command line.

    Raises:
        InvalidSpec: with the first problem.
    """
    spec = parse_spec(fields, settings.home, command)
    recipe = find_recipe(spec.recipe, settings.home, command)
    plan, numbers = make_plan(spec, recipe), resolve_all_numbers(spec, recipe)
    require_within_ceilings(settings, spec, plan, numbers)
    digest = compute_digest(spec, recipe, settings.home)
    if digest["data"] == ABSENT:
        _raise_missing_data(spec, recipe, settings)
    described = None
    if recipe.command:
        described = describe_command(recipe.command, digest["commit"], Binding.here() if command else None)
    return Submission(spec, plan, digest, numbers, describe_data(spec, recipe), command, described)


def _raise_missing_data(spec: SearchSpec, recipe: Recipe, settings: Settings) -> None:
    """Raise the recipe's own message about missing data, which says where to put it.

    Raises:
        InvalidSpec: with the error that loading raised.
    """
    try:
        resolve(recipe.load)(spec.resolve_numbers(recipe, next(iter(spec.variants))), spec.data, settings.home)
    except RecipeError as error:
        raise InvalidSpec(str(error)) from None


def find_missing_data(settings: Settings, spec: SearchSpec, recipe: Recipe) -> str | None:
    """Return why a search cannot train on its recipe's own data set; None if it can, or names another."""
    if spec.data or recipe.identify_data is None or resolve(recipe.identify_data)(settings.home) != ABSENT:
        return None
    try:
        _raise_missing_data(spec, recipe, settings)
    except InvalidSpec as error:
        return str(error)
    return None


def submit_search(settings: Settings, fields: dict[str, Any], command: Command | None = None) -> str:
    """Check a search and store it; return its id. The arguments are those of :func:`prepare`.

    Raises:
        InvalidSpec: before anything is stored.
        StoreUnavailable: if the database cannot be written.
    """
    submission = prepare(settings, fields, command)
    engine = open_store(settings.database_url, create=True)
    try:
        with engine.begin() as connection:
            return submission.store(connection)
    finally:
        engine.dispose()
