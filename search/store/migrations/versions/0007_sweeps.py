"""What the tuning stages of a search try, stored with it, so that readers need not know its strategy."""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("searches", sa.Column("sweeps", sa.JSON, nullable=False, server_default="[]"))
    connection = op.get_bind()
    for search_id, strategy, spec in connection.execute(sa.text("SELECT id, strategy, spec FROM searches")).all():
        fields = json.loads(spec) if isinstance(spec, str) else spec
        connection.execute(
            sa.text("UPDATE searches SET sweeps = :sweeps WHERE id = :id"),
            {"sweeps": json.dumps(_sweeps(strategy, fields)), "id": search_id},
        )


def _sweeps(strategy: str, spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the stages of the two strategies that there were."""
    gm = {"name": "gm", "values": spec["gm"], "rule": spec.get("gm_rule", "largest-stable"), "start": 1}
    gc = {"name": "gc", "values": spec["gc"], "rule": spec.get("gc_rule", "best-mean"), "start": 0}
    if strategy == "grid":
        return [{"stage": "grid", "axes": [gm, gc], "rule": gc["rule"]}]
    return [{"stage": axis["name"], "axes": [axis], "rule": axis["rule"]} for axis in (gm, gc)]
