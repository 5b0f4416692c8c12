"""Run campaigns: ``python -m tests.faults --seed 0 --count 25 --database sqlite``.

Results are appended to a file, and seeds that are in it are not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests import conftest  # noqa: F401  # the recipe `planted` on the path, no variables of a developer's
from tests.faults.campaign import Campaign, write_script
from tests.faults.history import Command, Fault
from tests.faults.server import PostgresServer, own_postgres
from tests.lanes import permit_ray
from tests.templates import create


def main() -> int:
    """Run what the command line asks for; 1 if an invariant was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--count", type=int, default=25)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--ray", action="store_true", help="with a private Ray, which takes five times as long")
    parser.add_argument("--lease", type=float, default=2.0, help="seconds")
    parser.add_argument("--results", type=Path, default=Path("faults"), help="folder of results and histories")
    words = parser.parse_args()
    words.results.mkdir(parents=True, exist_ok=True)
    results = words.results / "results.jsonl"
    had = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    kind = {"database": words.database, "ray": words.ray, "lease": words.lease}
    done = {each["seed"] for each in had if {name: each[name] for name in kind} == kind}
    failed = [each for each in had if each["violations"] and {name: each[name] for name in kind} == kind]
    with pytest.MonkeyPatch.context() as patch, _servers(words.database) as server:
        if words.ray:
            permit_ray(patch)
        for seed in range(words.seed, words.seed + words.count):
            if seed in done:
                continue
            line = {"seed": seed, **kind, **run(seed, words, server)}
            with results.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(f"seed {seed} {words.database}: {line['violations'] or 'ok'} in {line['seconds']:.0f} s", flush=True)
            failed += [line] if line["violations"] else []
    print(f"{len(failed)} of the seeds failed: {[each['seed'] for each in failed]}; see {results}")
    return 1 if failed else 0


def run(seed: int, words: argparse.Namespace, server: PostgresServer | None) -> dict[str, object]:
    """Run one campaign; return what it found."""
    began, home = time.monotonic(), Path(tempfile.mkdtemp(prefix="campaign-"))
    script = write_script(seed, words.database, words.ray, restarts=server is not None)
    campaign = Campaign(
        script,
        seed,
        new_database(home, server),
        home / "home",
        server=server,
        lease_seconds=words.lease,
        without_ray=not words.ray,
    )
    result = campaign.run()
    if result.violations:
        kept = words.results / f"{seed}-{words.database}.jsonl"
        result.history.save(kept)
        print(f"the history of seed {seed} is kept in {kept}", file=sys.stderr)
        (words.results / f"{seed}-{words.database}.log").write_text(result.logs)
    shutil.rmtree(home, ignore_errors=True)
    return {
        "violations": result.violations,
        "seconds": time.monotonic() - began,
        "faults": [each.name for each in result.history.of(Fault)],
        "commands": [f"{each.what} {each.outcome}" for each in result.history.of(Command)],
    }


def new_database(home: Path, server: PostgresServer | None) -> str:
    """Return the URL of an empty database."""
    if server is None:
        return f"sqlite:///{home / 'test.db'}"
    url = make_url(server.url).set(database=f"campaign_{uuid.uuid4().hex[:12]}").render_as_string(hide_password=False)
    create(url)
    return url


@contextmanager
def _servers(database: str) -> Iterator[PostgresServer | None]:
    if database == "sqlite":
        yield None
        return
    with own_postgres() as server:
        yield server


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    sys.exit(main())
