"""Candidates store their finished trials; ``backfill_finished`` in candidates.py fills existing rows."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    for name in ("finished", "quartiles"):
        op.add_column("candidates", sa.Column(name, sa.JSON(none_as_null=True)))
