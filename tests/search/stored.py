"""Running a search without Ray, and looking at what the store has afterwards."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from planted import surface
from sqlalchemy import inspect, select

from search.engine.recorder import Recorder
from search.plan.recipes import find_recipe
from search.plan.sequence import run_sequence
from search.plan.spec import parse_spec
from search.plan.stages import Replicate, make_plan
from search.store import leases, queries, searches, transitions
from search.store.database import Url, create_folder, open_engine
from search.store.opening import open_store
from search.store.provenance import resolve_all_numbers
from search.store.schema import is_current, upgrade
from search.store.tables import metadata
from search.views import SearchView
from search.vocabulary.outcome import Outcome
from search.vocabulary.states import Cause, Status
from tests.templates import clone
from trainers.commands.command import Command

PLANTED: dict[str, Any] = {"recipe": "planted", "gm": [1, 2, 4, 8, 16], "gc": [1, 2, 4], "seeds": 3}


COMMAND = Command(words=("/bin/sh", "train.sh", "{gm}", "{gc}", "{seed}"), folder="/")


def submit(url: Url, owner: str = "local", command: Command | None = None, **fields: Any) -> str:
    """Store a search over the planted surface; return its id."""
    prepare(url)
    spec = parse_spec({**PLANTED, **fields}, command=command)
    recipe = find_recipe(spec.recipe, command=command)
    engine = open_engine(url)
    with engine.begin() as connection:
        search_id = searches.submit(
            connection,
            spec,
            make_plan(spec, recipe),
            {},
            owner,
            numbers=resolve_all_numbers(spec, recipe) if command else None,
            command=command,
        )
    engine.dispose()
    return search_id


def prepare(url: Url) -> None:
    """Bring a database up to date: one without tables by a copy."""
    if _is_empty(url, and_its_tables=False):
        clone(url, "migrated", upgrade)
    else:
        upgrade(url)


def _is_empty(url: Url, and_its_tables: bool = True) -> bool:
    """Tell whether a database has no tables, or none with a row of ours in it."""
    create_folder(url)
    engine = open_engine(url, read_only=True, create=True)
    try:
        with engine.connect() as connection:
            if not inspect(connection).get_table_names():
                return True
            rows = (connection.execute(select(table).limit(1)).first() for table in metadata.sorted_tables)
            return and_its_tables and is_current(engine) and not any(rows)
    finally:
        engine.dispose()


def open_recorder(url: Url, search_id: str, lease_seconds: float = 60) -> Recorder:
    """Take the lease of a search, as a driver does."""
    engine = open_engine(url)
    lease = leases.acquire(engine, search_id, lease_seconds)
    with engine.connect() as connection:
        search = searches.get(connection, search_id)
    engine.dispose()
    recipe = find_recipe(search.spec.recipe, command=search.command)
    return Recorder(url, lease, recipe, replace(make_plan(search.spec, recipe), sweeps=search.sweeps))


def train(
    recorder: Recorder, search_id: str, stop_after: int | None = None, refused: Collection[int] = ()
) -> list[Replicate]:
    """Run a search in this process, one trial at a time; return what was trained, or refused with such a gm."""
    trained: list[Replicate] = []
    for replicate in run_sequence(recorder._plan, recorder):
        assert replicate is not None, "one trial at a time never waits for another"
        trial_id = recorder.start(replicate)
        point = replicate.point
        trained.append(replicate)
        if point.gm in refused:
            recorder.finish(trial_id, Outcome(cause=Cause.REFUSED, detail=f"gm must fit: got gm={point.gm}."))
            continue
        value = surface(point.gm, point.gc, replicate.seed, 0.002)
        value -= 0.1 * float(point.read("learning_rate") or 0)  # of a search that varies it
        if recorder._recipe.mode == "min":
            value = 1 - value
        recorder.report(trial_id, {1: {f"validation_{recorder._recipe.metric}": value, "train_loss": 0.5}})
        recorder.finish(trial_id, Outcome(value=value))
        if stop_after is not None and len(trained) == stop_after:
            return trained
    with recorder.engine.begin() as connection:
        transitions.set_status(connection, search_id, Status.DONE, "")
    return trained


def finished_search(url: Url, **fields: Any) -> str:
    """Store a search and run it to its end; return its id. A database that is empty gets a copy of an earlier run."""
    if _is_empty(url):
        return str(clone(url, json.dumps(fields, sort_keys=True), lambda empty: _finished_search(empty, **fields)))
    return _finished_search(url, **fields)


def _finished_search(url: Url, **fields: Any) -> str:
    search_id = submit(url, **fields)
    recorder = open_recorder(url, search_id)
    train(recorder, search_id)
    with recorder.engine.begin() as connection:
        leases.release(connection, leases.Lease(search_id, 1))
    recorder.close()
    return search_id


def finish(url: Url, search_id: str) -> Counter[tuple[str, int, int, int]]:
    """Run what is missing of a search; count its COMPLETE trials by what they trained."""
    open_store(url)
    recorder = open_recorder(url, search_id)
    train(recorder, search_id)
    recorder.close()
    engine = open_engine(url, read_only=True)
    with engine.connect() as connection:
        trials = queries.list_trials(connection, search_id, state="COMPLETE", limit=500)
    engine.dispose()
    return Counter((t.stage, t.gm, t.gc, t.seed) for t in trials)


def show(url: Url, search_id: str) -> SearchView:
    """Read a search as pages and commands do."""
    engine = open_engine(url, read_only=True)
    with engine.connect() as connection:
        shown = queries.show_search(connection, search_id)
    engine.dispose()
    return shown
