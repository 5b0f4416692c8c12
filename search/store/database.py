"""Creates SQLAlchemy engines for SQLite and PostgreSQL."""

from __future__ import annotations

import errno
import hashlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, func, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement
from sqlalchemy.types import Double

from search.private_files import close_to_others, make_private_file, make_private_folder
from search.store.database_file import guard_file
from search.store.faults import Fault, find_fault, own_sentence
from search.vocabulary.errors import StoreUnavailable
from search.vocabulary.secret import Secret, SecretUrl, redact, reveal

__all__ = [
    "CLIENT_PATHS",
    "Connection",
    "DatabaseError",
    "Engine",
    "PoolTimeout",
    "Url",
    "check_connection",
    "close_file",
    "create_folder",
    "hold_transaction_lock",
    "now",
    "on_begin",
    "open_engine",
    "require_file",
    "resolve_client_variables",
]

Url = str | Secret  # of a database, as plain text or as a secret

DatabaseError = DBAPIError  # so that other packages need not import SQLAlchemy

IDLE_SECONDS = 60.0  # that PostgreSQL lets a frozen writer keep its locks; drivers say how long themselves
KEEP_ALIVE = {  # without them, a server that vanishes is noticed after two hours
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # ms
    "connect_timeout": 10,
}
CLIENT_PATHS = ("PGSERVICEFILE", "PGSYSCONFDIR", "KRB5CCNAME", "KRB5_CONFIG", "OPENSSL_CONF")  # that no URL can hold
BUSY_SECONDS = 30  # how long a writer waits for SQLite's write lock


class now(FunctionElement[float]):  # lower case, as in SQL
    """The database's clock in seconds since 1970. Leases use it, so the clocks of hosts do not matter."""

    type = Double()
    inherit_cache = True


@compiles(now, "sqlite")
def _now_sqlite(*_: Any, **__: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now, "postgresql")
def _now_postgresql(*_: Any, **__: Any) -> str:
    return "extract(epoch from clock_timestamp())::double precision"


def open_engine(
    url: Url,
    *,
    read_only: bool = False,
    hold_seconds: float | None = None,
    wait_seconds: float | None = None,
    connections: int | None = None,
    create: bool = False,
) -> Engine:
    """Create an engine. Only with ``create`` it may create an SQLite file.

    On SQLite, transactions of a writing engine take the write lock immediately (``BEGIN IMMEDIATE``), so that what they
    read is still true when they write. Transactions of a read-only engine never wait for a writer (WAL). A connection
    with the execution option ``wait_seconds`` waits for the write lock for that long.

    With ``wait_seconds``, a statement waits no longer for a lock, nor does anybody for a connection.

    ``connections`` is how many the engine opens at most, by default as many as SQLAlchemy does.

    Raises:
        StoreUnavailable: if the URL is malformed or its driver is missing.
    """
    sqlite = parse_url(url).get_backend_name() == "sqlite"
    if hold_seconds is None and not read_only:
        hold_seconds = IDLE_SECONDS
    options = engine_options(url, hold_seconds, wait_seconds)
    if connections is not None:
        options |= {"pool_size": connections, "max_overflow": 0}
    try:
        engine = create_engine(parse_url(url), **options)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise _invalid_url(url, own_sentence(error)) from None
    if sqlite:
        prepare_sqlite(engine, "BEGIN" if read_only else "BEGIN IMMEDIATE", create=create, wait_seconds=wait_seconds)
    return engine


def parse_url(url: Url) -> URL:
    """Parse the URL of a database.

    Raises:
        StoreUnavailable: if it is malformed.
    """
    try:
        parsed = make_url(reveal(url))
    except ArgumentError:
        raise _invalid_url(url, "it has no scheme://") from None
    except ValueError:  # its message quotes the "port", which may be part of a password with an @
        raise _invalid_url(url, "its port is not a number; in a password write @ as %40 and : as %3A") from None
    backend = parsed.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise _invalid_url(url, f"its scheme is {parsed.drivername}")
    if "@" in (parsed.host or ""):  # the end of a password, which the server's name must not be taken for
        raise _invalid_url(url, "in a password write @ as %40")
    if backend == "sqlite" and (parsed.host or parsed.username or parsed.port):
        raise _invalid_url(url, "the path of a file follows three slashes, an absolute one four")
    return parsed


def require_file(url: Url) -> None:
    """Refuse an SQLite database in memory: its searches are run by other processes.

    Raises:
        StoreUnavailable: if it is not a file.
    """
    parsed = parse_url(url)
    file = parsed.database or ""
    if parsed.get_backend_name() == "sqlite" and (file in ("", ":memory:") or file.startswith("file:")):
        raise StoreUnavailable(
            f"an SQLite database must be a file, because other processes open it: got {SecretUrl(url)}. "
            "Give e.g. --db sqlite:////path/to/file.db."
        )


def _invalid_url(url: Url, why: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"the database must be an SQLAlchemy URL of SQLite or PostgreSQL: got {SecretUrl(url)} ({redact(why)}). "
        "Give e.g. --db sqlite:////path/to/file.db or --db postgresql://user@host/name."
    )


def engine_options(url: Url, hold_seconds: float | None = None, wait_seconds: float | None = None) -> dict[str, Any]:
    """Return the arguments of ``create_engine`` besides the URL.

    With ``hold_seconds``, PostgreSQL ends transactions that are idle for that long: a frozen driver's share lock would
    otherwise keep others from taking over its search.
    """
    options: dict[str, Any] = {"hide_parameters": True}  # an error that quotes them may be logged
    if wait_seconds is not None:
        options["pool_timeout"] = wait_seconds
    if parse_url(url).get_backend_name() == "sqlite":
        return options | {
            "connect_args": {
                "timeout": BUSY_SECONDS if wait_seconds is None else wait_seconds,
                "check_same_thread": False,
            }
        }
    limits = {"idle_in_transaction_session_timeout": hold_seconds, "lock_timeout": wait_seconds}
    set_limits = " ".join(f"-c {name}={int(value * 1000)}" for name, value in limits.items() if value is not None)
    connect_args: dict[str, Any] = {"options": set_limits} if set_limits else {}
    connect_args |= {name: value for name, value in KEEP_ALIVE.items() if name not in parse_url(url).query}
    if wait_seconds is not None and "connect_timeout" not in parse_url(url).query:
        connect_args["connect_timeout"] = max(2, int(wait_seconds))  # libpq takes no less
    # reconnect after a server restart instead of failing
    return options | {"connect_args": connect_args, "pool_pre_ping": True}


def prepare_sqlite(engine: Engine, begin: str, *, create: bool = False, wait_seconds: float | None = None) -> None:
    """Set WAL mode, and start transactions with ``begin``, which Python's driver would delay until a write."""

    if wait_seconds is None:
        wait_seconds = BUSY_SECONDS

    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # ``timeout`` of the connection is in force
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        seconds = connection.get_execution_options().get("wait_seconds", wait_seconds)
        raw: Any = connection.connection.dbapi_connection
        raw.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")  # that of its last user may be another
        connection.exec_driver_sql(begin)

    if not create:
        guard_file(engine)


def on_begin(engine: Engine, check: Callable[[Connection], None]) -> None:
    """Run ``check`` at the start of every transaction; an exception in it ends the transaction."""
    event.listen(engine, "begin", check)


def check_connection(connection: Connection) -> None:
    """Run a trivial query; raise if the database does not respond."""
    connection.exec_driver_sql("SELECT 1")


def hold_transaction_lock(connection: Connection, name: str) -> None:
    """Hold a named lock until the transaction ends. On SQLite this is a no-op, because there is one writer anyway."""
    if connection.dialect.name == "postgresql":
        key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
        connection.execute(select(func.pg_advisory_xact_lock(key)))


def create_folder(url: Url) -> None:
    """Create the folder of an SQLite file for this user alone.

    Raises:
        StoreUnavailable: if it cannot be created.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        try:
            make_private_folder(Path(parsed.database).parent)
        except OSError as error:
            raise StoreUnavailable(
                f"the database's folder must be writable: got {Path(parsed.database).parent} ({error.strerror}). "
                "Name another with --home DIR or --db URL."
            ) from None


def close_file(url: Url) -> None:
    """Close an SQLite file to other users of the host, and create it so: it holds owners and the hashes of tokens.

    SQLite gives the files beside it the same rights when it creates them.

    Raises:
        StoreUnavailable: if it cannot be created, read and written.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        return
    try:
        make_private_file(Path(parsed.database))
        if not os.access(parsed.database, os.R_OK | os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise StoreUnavailable(
            f"the database must be readable and writable: got {parsed.database} ({error.strerror}). "
            "Name another with --home DIR or --db URL."
        ) from None
    for suffix in ("-wal", "-shm", "-journal"):
        close_to_others(Path(parsed.database + suffix))


def resolve_client_variables(url: Url) -> SecretUrl:
    """Return a URL of a database with what PostgreSQL's client reads from the environment filled in, e.g. PGPASSWORD.

    A process that hands its environment on to others can then do without these variables, but for ``CLIENT_PATHS``.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() != "postgresql":
        return SecretUrl(url)
    from psycopg import pq

    for option in pq.Conninfo.get_defaults():
        keyword, variable = option.keyword.decode(), (option.envvar or b"").decode()
        value: Any = os.environ.get(variable)
        if not value or keyword in parsed.translate_connect_args(username="user", database="dbname") | parsed.query:
            continue
        field = {"user": "username", "dbname": "database"}.get(keyword, keyword)
        if field in ("username", "password", "database"):
            parsed = parsed.set(**{field: value})
        elif field == "port" and parsed.host and value.isdecimal():  # there may be several, for several hosts
            parsed = parsed.set(port=int(value))
        else:
            parsed = parsed.update_query_dict({field: value})
    return SecretUrl(parsed.render_as_string(hide_password=False))


def to_store_unavailable(url: Url, error: DBAPIError) -> StoreUnavailable:
    """Convert a driver's error to one with a remedy."""
    if (fault := find_fault(error)) in (Fault.FULL, Fault.LOCKED):
        return StoreUnavailable(fault.value.format(cause=own_sentence(error)))
    return StoreUnavailable(
        f"the database must be readable and writable: got {SecretUrl(url)} "
        f"({own_sentence(error)}). Check that it exists and who owns it, or name another with --db URL."
    )
