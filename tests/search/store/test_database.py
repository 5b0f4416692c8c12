"""Engines of SQLite and PostgreSQL."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import make_url

from search.settings import Settings
from search.store import workers
from search.store.database import (
    Connection,
    DatabaseError,
    check_connection,
    now,
    on_begin,
    open_engine,
    parse_url,
    resolve_client_variables,
    to_store_unavailable,
)
from search.store.opening import open_store
from search.store.schema import upgrade
from search.vocabulary.errors import Fenced, StoreUnavailable
from tests.search.stored import prepare


def test_leases_run_on_the_clock_of_the_database(database_url: str) -> None:
    import time

    upgrade(database_url)
    engine = open_engine(database_url)
    with engine.connect() as connection:
        assert connection.execute(now().select()).scalar_one() == pytest.approx(time.time(), abs=2)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("not a url", "must be an SQLAlchemy URL of SQLite or PostgreSQL: got text that is not a URL"),
        ("nosuch://somewhere/db", "must be an SQLAlchemy URL of SQLite or PostgreSQL: got nosuch://somewhere/db"),
        ("sqlite:////proc/nowhere/test.db", "folder must be writable: got /proc/nowhere"),
    ],
)
def test_a_database_that_cannot_be_opened_is_named(url: str, words: str) -> None:
    with pytest.raises(StoreUnavailable, match=words):
        upgrade(url)


@pytest.mark.parametrize(
    ("url", "shown", "why"),
    [
        ("postgresql://u:hunter@host:$PORT/x", "postgresql://u:[redacted]@host:$PORT/x", "its port is not a number; "),
        ("postgresql://u:hunter@host:${PORT}", "postgresql://u:[redacted]@host:${PORT}", "its port is not a number; "),
        ("postgresql://u:hunter/x", "postgresql://u:[redacted]", "its port is not a number; "),
        ("postgresql://u:a@hunter@host/x", "postgresql://u:[redacted]@host/x", "in a password write @ as %40"),
        ("postgresql://u:a@b:hunter@host/x", "postgresql://u:[redacted]@host/x", "its port is not a number; "),
        ("postgres://u:hunter#2@host/x", "postgres://u:[redacted]@host/x", "its scheme is postgres"),
        ("postgresq://u:hunter@host/x", "postgresq://u:[redacted]@host/x", "its scheme is postgresq"),
        ("mysql://u:hunter@host/x", "mysql://u:[redacted]@host/x", "its scheme is mysql"),
        ("postgresql+nodriver://u:hunter@host/x", "postgresql+nodriver://u:[redacted]@host/x", "Can't load plugin: "),
        (
            "postgresql+psycopg2://u:hunter@host/x",
            "postgresql+psycopg2://u:[redacted]@host/x",
            "No module named 'psycopg2'",
        ),
        ("postgresql:/u:hunter@host/x", "text that is not a URL", "it has no scheme://"),
        ("sqlite://mine.db", "sqlite://mine.db", "the path of a file follows three slashes, an absolute one four"),
        ("sqlite://u:hunter@/mine.db", "sqlite://u:[redacted]@/mine.db", "the path of a file follows three slashes"),
    ],
)
def test_a_mistake_in_a_url_is_said_in_a_sentence_without_the_password(url: str, shown: str, why: str) -> None:
    with pytest.raises(StoreUnavailable) as refused:
        open_engine(url)
    said = str(refused.value)
    assert said.startswith(f"the database must be an SQLAlchemy URL of SQLite or PostgreSQL: got {shown} ({why}")
    assert said.endswith("). Give e.g. --db sqlite:////path/to/file.db or --db postgresql://user@host/name.")
    assert "hunter" not in said
    assert "\n" not in said


@pytest.mark.parametrize("password", ["a#b", "a%b", "50%", "a?b=1", "a/b", "a b", "%40", "a:b"])
def test_a_password_may_have_any_other_character(password: str) -> None:
    url = parse_url(f"postgresql://u:{password}@host:5432/x")
    assert (url.password, url.host, url.port, url.database) == (password.replace("%40", "@"), "host", 5432, "x")


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"]
)
def test_a_database_in_memory_is_refused_as_other_processes_run_its_searches(url: str) -> None:
    for opening in (upgrade, lambda url: open_store(url, create=True), open_store):
        with pytest.raises(
            StoreUnavailable, match=r"^an SQLite database must be a file, because other processes open it: got sqlite"
        ):
            opening(url)


def test_a_file_that_may_not_be_read_is_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # as for any user but this one, who may be root
    with pytest.raises(StoreUnavailable, match=r"readable and writable: got .*/x\.db \(Permission denied\)\. Name"):
        upgrade(f"sqlite:///{tmp_path / 'x.db'}")


def test_a_reader_does_not_wait_for_a_writer(settings: Settings) -> None:
    prepare(settings.database_url)
    reading = open_engine(settings.database_url, read_only=True)
    with open_engine(settings.database_url).begin() as writing:
        workers.register(writing)
        with reading.connect() as connection:
            assert workers.list_alive(connection) == []
    with reading.connect() as connection:
        assert len(workers.list_alive(connection)) == 1


def test_a_writer_holds_the_lock_from_its_first_moment(settings: Settings) -> None:
    prepare(settings.database_url)
    impatient = sqlite3.connect(settings.home / "seqnorm.db", timeout=0)
    locked = pytest.raises(sqlite3.OperationalError, match="database is locked")
    with closing(impatient), open_engine(settings.database_url).begin(), locked:
        impatient.execute("BEGIN IMMEDIATE")


def test_what_a_check_raises_keeps_the_transaction_from_writing(settings: Settings) -> None:
    prepare(settings.database_url)
    engine = open_engine(settings.database_url)
    asked: list[str] = []

    def check(connection: Connection) -> None:
        asked.append("before anything else")
        check_connection(connection)
        raise Fenced("taken over")

    on_begin(engine, check)
    with pytest.raises(Fenced), engine.begin() as connection:
        workers.register(connection)
    assert asked == ["before anything else"]
    with open_engine(settings.database_url).connect() as connection:
        assert workers.list_alive(connection) == []


def test_a_fault_is_said_without_the_password() -> None:
    url = "postgresql+psycopg://me:secret@127.0.0.1:1/seqnorm"
    with pytest.raises(DatabaseError) as fault:
        open_engine(url).connect()
    said = str(to_store_unavailable(url, fault.value))
    assert said.startswith(
        "the database must be readable and writable: got postgresql+psycopg://me:[redacted]@127.0.0.1:1/"
    )
    assert "secret" not in said


def test_the_file_of_a_database_is_for_its_user_alone(tmp_path: Path) -> None:
    file = tmp_path / "new" / "test.db"
    before = os.umask(0o022)
    try:
        upgrade(f"sqlite:///{file}")
        with open_engine(f"sqlite:///{file}").begin() as connection:
            workers.register(connection)
            found = {path.name: path.stat().st_mode & 0o777 for path in (file.parent, *file.parent.iterdir())}
    finally:
        os.umask(before)
    assert found == {"new": 0o700, "test.db": 0o600, "test.db-wal": 0o600, "test.db-shm": 0o600}


def test_a_database_of_before_is_closed_with_the_files_beside_it(settings: Settings) -> None:
    prepare(settings.database_url)
    with open_engine(settings.database_url).begin() as connection:
        workers.register(connection)
        for file in settings.home.iterdir():
            file.chmod(0o644)
    upgrade(settings.database_url)
    assert {file.name: file.stat().st_mode & 0o777 for file in settings.home.iterdir()} == dict.fromkeys(
        ("seqnorm.db", "seqnorm.db-wal", "seqnorm.db-shm"), 0o600
    )


def test_a_folder_in_the_place_of_a_database_keeps_its_rights(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(StoreUnavailable):
        upgrade(f"sqlite:///{tmp_path}")
    assert tmp_path.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    ("url", "variables", "resolved"),
    [
        ("postgresql://ada@db/name", {"PGPASSWORD": "p@ss", "PGUSER": "eve"}, "postgresql://ada:p%40ss@db/name"),
        ("postgresql://db/name", {"PGUSER": "ada", "PGPORT": "99"}, "postgresql://ada@db:99/name"),
        ("postgresql://", {"PGHOST": "db", "PGDATABASE": "name"}, "postgresql:///name?host=db"),
        ("postgresql:///name?host=db", {"PGSSLMODE": "require", "PGHOST": "x"}, "postgresql:///name?host=db&sslmode=require"),
        ("sqlite:////x.db", {"PGPASSWORD": "p"}, "sqlite:////x.db"),
    ],
)  # fmt: skip
def test_what_the_client_reads_from_the_environment_is_resolved(
    url: str, variables: dict[str, str], resolved: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert resolve_client_variables(url).reveal() == resolved


def test_a_resolved_url_connects_without_the_variables(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = make_url(database_url)
    if parsed.get_backend_name() == "postgresql":
        given = parsed.translate_connect_args(username="user", database="dbname") | parsed.query
        with monkeypatch.context() as patch:
            for keyword, value in given.items():
                patch.setenv({"dbname": "PGDATABASE"}.get(keyword, f"PG{keyword.upper()}"), str(value))
            resolved = resolve_client_variables("postgresql://")
    else:
        resolved = resolve_client_variables(database_url)
    with open_engine(resolved).begin() as connection:
        assert workers.list_alive(connection) == []
