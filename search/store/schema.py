"""Migrates the schema of a database, and refuses a schema newer than this program."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Engine, func, inspect, select, text
from sqlalchemy.exc import DBAPIError

from search.store import candidates
from search.store.database import Url, close_file, create_folder, open_engine, require_file, to_store_unavailable
from search.vocabulary.errors import StoreUnavailable

MIGRATION_LOCK = 0x5E9A0  # key of the advisory lock for migrations
VERSION_TABLE = "seqnorm_version"  # Optuna's own migrations use alembic_version in the same database


def upgrade(url: Url) -> str:
    """Create or migrate our tables, and create Optuna's if missing; return the version.

    Raises:
        StoreUnavailable: if the database cannot be written, or has a newer schema.
    """
    require_file(url)
    reading, engine = open_engine(url, read_only=True, create=True), open_engine(url, create=True)  # connect lazily
    create_folder(url)
    close_file(url)
    config, head = _config(), _head()
    try:
        if current_version(reading) != head:  # a reader, as an up-to-date database may be locked by a writer
            from search.store.trials import create_tables  # imports Optuna; not needed if up to date

            logging.getLogger("alembic").setLevel(logging.WARNING)
            with _migration_lock(engine):
                create_tables(url)
                with engine.begin() as connection:
                    config.attributes["connection"] = connection
                    command.upgrade(config, "head")
                    candidates.backfill_finished(connection)
    except DBAPIError as error:
        raise to_store_unavailable(url, error) from error
    except CommandError:
        raise StoreUnavailable(
            f"the database must not be newer than this program: got schema {current_version(reading)}, known {head}. "
            "Upgrade seqnorm on this machine."
        ) from None
    finally:
        reading.dispose()
        engine.dispose()
    return head


@contextmanager
def _migration_lock(engine: Engine) -> Iterator[None]:
    """Wait for a concurrent migration on another host. On SQLite there is none: one host, web before worker."""
    if engine.dialect.name != "postgresql":
        yield
        return
    with engine.begin() as connection:
        connection.execute(select(func.pg_advisory_xact_lock(MIGRATION_LOCK)))
        yield


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


@cache
def _head() -> str:
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def is_current(engine: Engine) -> bool:
    """Return whether our tables have the newest schema."""
    return current_version(engine) == _head()


def current_version(engine: Engine) -> str | None:
    """Return the schema version of our tables; None if there are none."""
    with engine.connect() as connection:
        if not inspect(connection).has_table(VERSION_TABLE):
            return None
        statement = text(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608  # nosec B608  # a constant
        version: str | None = connection.execute(statement).scalar()
        return version
