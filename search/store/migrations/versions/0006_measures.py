"""What a search measures and trains with, stored with it, so that reading it needs no recipe."""

import dataclasses
import json
from typing import Any

import sqlalchemy as sa
from alembic import op
from pydantic import ValidationError

from search.plan.spec import read_stored
from trainers.recipe import Recipe, RecipeError, find

revision = "0006"
down_revision = "0005"

UNKNOWN_METRIC = "metric"  # of a search whose recipe is not installed where its database is migrated


def upgrade() -> None:
    op.add_column("searches", sa.Column("metric", sa.String(100), nullable=False, server_default=UNKNOWN_METRIC))
    op.add_column("searches", sa.Column("mode", sa.String(3), nullable=False, server_default="max"))
    op.add_column("searches", sa.Column("numbers", sa.JSON))
    op.add_column("searches", sa.Column("provenance", sa.JSON))
    op.execute("ALTER TABLE searches RENAME COLUMN wanted TO requested_status")
    connection = op.get_bind()
    for search_id, recipe, spec in connection.execute(sa.text("SELECT id, recipe, spec FROM searches")).all():
        values = {"mode": _direction(connection, search_id)} | _of_recipe(recipe, _json(spec))
        names = ", ".join(f"{name} = :{name}" for name in values)
        change = "UPDATE searches SET %s WHERE id = :id" % names  # noqa: S608, UP031  # nosec B608  # our own names
        connection.execute(sa.text(change), {**values, "id": search_id})
    for event_id, detail in connection.execute(sa.text("SELECT id, detail FROM events WHERE kind = 'asked'")).all():
        requested = json.dumps({"requested_status": _json(detail).get("wanted")})
        connection.execute(
            sa.text("UPDATE events SET kind = 'requested', detail = :detail WHERE id = :id"),
            {"detail": requested, "id": event_id},
        )


def _direction(connection: sa.Connection, search_id: str) -> str:
    """Return the mode that a search's studies were created with, whatever is installed here."""
    found = connection.execute(
        sa.text(
            "SELECT direction FROM study_directions JOIN studies USING (study_id) WHERE study_name LIKE :name LIMIT 1"
        ),
        {"name": f"{search_id}/%"},
    ).scalar()
    return "min" if found == "MINIMIZE" else "max"


def _of_recipe(name: str, fields: dict[str, Any]) -> dict[str, str]:
    try:
        recipe: Recipe = find(name)
        spec = read_stored(fields)
        numbers = {
            variant: dataclasses.asdict(spec.resolve_numbers(recipe, variant)) for variant in (*spec.variants, "none")
        }
    except (RecipeError, ValidationError, ImportError, AttributeError):  # not installed, broken, or of other numbers
        return {}
    return {"metric": recipe.metric, "mode": recipe.mode, "numbers": json.dumps(numbers)}


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value
