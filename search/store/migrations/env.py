"""Alembic's entry: runs the migrations on the connection that schema.py gives it."""

from alembic import context

from search.store.schema import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
with context.begin_transaction():
    context.run_migrations()
