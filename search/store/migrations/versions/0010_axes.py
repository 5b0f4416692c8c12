"""Names of stages and variants get longer: they name numbers of recipes and their values."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":  # which knows no lengths, and would copy the tables
        return
    op.alter_column("stages", "name", type_=sa.String(128))
    op.alter_column("candidates", "stage", type_=sa.String(128))
    op.alter_column("candidates", "variant", type_=sa.String(255))
