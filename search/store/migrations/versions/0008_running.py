"""How far the running trials of a search are, so that lists can tell it."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("searches", sa.Column("running", sa.JSON))
