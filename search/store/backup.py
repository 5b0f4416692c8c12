"""Copies an SQLite database consistently while others write."""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from search.private_files import make_private_file
from search.store.database import Url, open_engine, require_file
from search.vocabulary.errors import InvalidSpec, StoreUnavailable


def back_up(url: Url, file: Path) -> None:
    """Copy a database to a file, which is a usable database itself.

    Raises:
        InvalidSpec: if the file exists, or the database is not SQLite.
        StoreUnavailable: if the database does not exist, or it or the file cannot be accessed.
    """
    source = open_engine(url).url
    if source.get_backend_name() != "sqlite":
        shown = source.set(drivername="postgresql").difference_update_query(["password", "sslpassword"])
        address = shown.render_as_string(hide_password=True).replace(":***", "")  # pg_dump prompts for the password
        raise InvalidSpec(
            f"db backup copies SQLite databases: got {address}. Back up PostgreSQL with: "
            f"pg_dump --format=custom --file={file} {address}"
        )
    require_file(url)
    if file.exists():
        raise InvalidSpec(f"a back-up overwrites nothing: got {file}, which exists. Name another file.")
    if not Path(source.database or "").is_file():
        raise StoreUnavailable(f"the database must exist: got {source.database}. Name it with --home DIR or --db URL.")
    unfinished = file.with_name(f"{file.name}.{secrets.token_hex(4)}.part")
    try:
        make_private_file(unfinished)  # it holds owners and the hashes of tokens
        with closing(sqlite3.connect(source.database or "")) as connection:
            connection.execute("VACUUM INTO ?", (str(unfinished),))  # one read transaction; writers do not wait
        os.replace(unfinished, file)
    except (OSError, sqlite3.Error) as error:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise StoreUnavailable(
            f"the back-up must be writable: got {file} ({error}). Name another file, or make room for it."
        ) from None
