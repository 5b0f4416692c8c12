"""Webhooks: targets, what each is told, and an index of the events that they are told of."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "webhooks",
        sa.Column("target", sa.String(64), primary_key=True),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("seen_at", sa.Double, nullable=False),
    )
    op.create_table(
        "deliveries",
        sa.Column("event_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("target", sa.String(64), primary_key=True),
        sa.Column("search_id", sa.String(32), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_at", sa.Double, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("said", sa.Text, nullable=False),
    )
    op.create_index("ix_deliveries_due", "deliveries", ["state", "target", "next_at"])
    status = sa.text("kind = 'status'")
    op.create_index("ix_events_status", "events", ["at"], sqlite_where=status, postgresql_where=status)
