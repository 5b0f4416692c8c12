"""Bringing a database's schema up to date, and refusing one that is newer than this program."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from search.errors import StoreUnavailable
from search.store.database import make_folder, open_engine, unavailable

VERSION_TABLE = "seqnorm_version"  # Optuna's own migrations use alembic_version in the same database


def upgrade(url: str) -> str:
    """Create or migrate our tables, and Optuna's where it has none; return the version.

    Raises:
        StoreUnavailable: if the database cannot be written, or has a newer schema.
    """
    engine = open_engine(url)  # connects later
    make_folder(url)
    config, head = _config(), _head()
    try:
        if current_version(engine) != head:
            from search.store.trials import create_tables  # imports Optuna, which an up-to-date database does not need

            create_tables(url)
            logging.getLogger("alembic").setLevel(logging.WARNING)
            with engine.begin() as connection:
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
    except DBAPIError as error:
        raise unavailable(url, error) from None
    except CommandError:
        raise StoreUnavailable(
            f"the database must not be newer than this program: got schema {current_version(engine)}, known {head}. "
            "Upgrade seqnorm on this machine."
        ) from None
    finally:
        engine.dispose()
    return head


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


@cache
def _head() -> str:
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def is_current(engine: Engine) -> bool:
    """Tell whether our tables are as this program knows them."""
    return current_version(engine) == _head()


def current_version(engine: Engine) -> str | None:
    """Return the version of our tables; None if there are none."""
    with engine.connect() as connection:
        if not inspect(connection).has_table(VERSION_TABLE):
            return None
        version: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608
        return version
