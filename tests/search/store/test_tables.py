"""The tables that queries are written against are those that the migrations make."""

from __future__ import annotations

from sqlalchemy import inspect

from search.store import tables
from search.store.database import open_engine
from search.store.schema import VERSION_TABLE, upgrade

OF_OPTUNA = (
    tables.studies,
    tables.trials,
    tables.trial_params,
    tables.trial_values,
    tables.trial_user_attributes,
    tables.trial_intermediate_values,
)


def test_an_upgraded_database_has_our_tables_column_by_column(database_url: str) -> None:
    upgrade(database_url)
    found = inspect(open_engine(database_url))
    for table in tables.metadata.tables.values():
        columns = {column["name"]: column["nullable"] for column in found.get_columns(table.name)}
        assert columns == {column.name: column.nullable for column in table.columns}, table.name
        assert {column.name for column in table.primary_key} == {
            *found.get_pk_constraint(table.name)["constrained_columns"]
        }, table.name
        indexes = {index["name"] for index in found.get_indexes(table.name)}
        assert {index.name for index in table.indexes} <= indexes, table.name


def test_the_columns_of_optuna_that_are_read_are_there(database_url: str) -> None:
    upgrade(database_url)
    found = inspect(open_engine(database_url))
    assert {VERSION_TABLE, "alembic_version"} <= set(found.get_table_names())
    for table in OF_OPTUNA:
        assert {column.name for column in table.columns} <= {
            column["name"] for column in found.get_columns(table.name)
        }, table.name
