"""Searches know how many samples their accuracies are measured on."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("searches", sa.Column("samples", sa.JSON))
