"""Databases that are made once in a run and copied: migrating one takes 0.4 s of CPU, a finished search 2.4 s."""

from __future__ import annotations

import atexit
import shutil
import sqlite3
import tempfile
import uuid
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import URL, make_url

from search.store.database import Url
from search.vocabulary.secret import reveal

_made: dict[tuple[URL, str], tuple[str, Any]] = {}  # by place and name: the template's URL, and what its maker returned


def clone(url: Url, name: str, make: Callable[[str], Any]) -> Any:
    """Put a copy of a template at a URL, in the place of a database that holds nothing yet, if there is one.

    Args:
        url: of the copy.
        name: of the template.
        make: makes the template, given the URL of an empty database; what it returns is returned with every copy.
    """
    url = reveal(url)
    place = make_url(url)
    key = _around(place), name
    if key not in _made:
        empty = _new(place)
        _made[key] = empty, make(empty)
    template, returned = _made[key]
    if place.get_backend_name() == "sqlite":
        _copy_file(make_url(template), place)
    else:
        create(url, make_url(template).database)
    return returned


def create(url: str, template: str | None = None) -> None:
    """Make a database on PostgreSQL, empty or a copy, in the place of one that is there."""
    drop(url)
    _ask(url, f"CREATE DATABASE {make_url(url).database} TEMPLATE {template or 'template1'}")


def drop(url: str) -> None:
    """Remove a database on PostgreSQL, if it is there."""
    _ask(url, f"DROP DATABASE IF EXISTS {make_url(url).database} WITH (FORCE)")


def _ask(url: str, statement: str) -> None:
    """Have the server of a database do something that is not done within the database."""
    import psycopg

    with psycopg.connect(_around(make_url(url)).render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute(statement)


def _around(place: URL) -> URL:
    """Return where the databases beside this one are: the server; for files, anywhere."""
    return place.set(database="" if place.get_backend_name() == "sqlite" else "postgres")


def _new(place: URL) -> str:
    """Return the URL of an empty database of the same kind."""
    name = f"template_{uuid.uuid4().hex[:12]}"
    if place.get_backend_name() == "sqlite":
        return f"sqlite:///{_folder() / name}.db"
    url = place.set(database=name).render_as_string(hide_password=False)
    create(url)
    return url


def _copy_file(template: URL, place: URL) -> None:
    """Copy by way of SQLite, so that connections that are open see what has come."""
    assert template.database
    assert place.database
    Path(place.database).parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(template.database)) as source, closing(sqlite3.connect(place.database)) as target:
        target.execute("PRAGMA synchronous = OFF")
        source.backup(target)


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="templates-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
