"""The first tables: searches with their lease, stages, per-epoch metrics, candidates, events."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "searches",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("started_at", sa.Double),
        sa.Column("finished_at", sa.Double),
        sa.Column("archived_at", sa.Double),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("recipe", sa.String(100), nullable=False),
        sa.Column("strategy", sa.String(20), nullable=False),
        sa.Column("spec", sa.JSON, nullable=False),
        sa.Column("digest", sa.JSON, nullable=False),
        sa.Column("planned", sa.Integer, nullable=False),
        sa.Column("slots", sa.Integer),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("wanted", sa.String(20)),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("retried_upto", sa.Integer, nullable=False),
        sa.Column("parent", sa.String(32)),
        sa.Column("cluster", sa.JSON),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("holder", sa.JSON),
        sa.Column("lease_until", sa.Double),
    )
    op.create_index("ix_searches_status", "searches", ["status", "priority", "created_at"])
    op.create_table(
        "stages",
        sa.Column("search_id", sa.String(32), sa.ForeignKey("searches.id"), primary_key=True),
        sa.Column("name", sa.String(20), primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("plan", sa.JSON, nullable=False),
        sa.Column("choice", sa.JSON),
        sa.Column("decided_at", sa.Double),
    )
    op.create_table(
        "metrics",
        sa.Column("trial_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("figures", sa.JSON, nullable=False),
    )
    op.create_table(
        "candidates",
        sa.Column("search_id", sa.String(32), sa.ForeignKey("searches.id"), primary_key=True),
        sa.Column("stage", sa.String(20), primary_key=True),
        sa.Column("variant", sa.String(64), primary_key=True),
        sa.Column("gm", sa.Integer, primary_key=True),
        sa.Column("gc", sa.Integer, primary_key=True),
        sa.Column("mean", sa.Double),
        sa.Column("std", sa.Double),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("failed", sa.Integer, nullable=False),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("search_id", sa.String(32), sa.ForeignKey("searches.id"), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
    )
    op.create_index("ix_events_search", "events", ["search_id", "id"])
