"""Searches made from a script or a command line: the program, and the host and user that alone run it."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("searches", sa.Column("command", sa.JSON))
    op.add_column("searches", sa.Column("bound", sa.JSON))
