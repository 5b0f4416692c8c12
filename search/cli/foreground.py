"""``tune``, ``grid`` and ``resume``: a worker for one search, with its progress on the terminal."""

from __future__ import annotations

import sys
import time
from typing import Any

from search.cli.exits import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_STOPPED
from search.cli.progress import Progress
from search.cli.tables import print_result
from search.digest import digest_of
from search.errors import Conflict
from search.plan import plan_of
from search.settings import Settings
from search.spec import parse_spec
from search.store import leases, queries, searches
from search.store.database import open_engine
from search.store.schema import upgrade
from search.worker import Worker
from trainers.recipe import find


def submit_here(settings: Settings, fields: dict[str, Any]) -> str:
    """Check a search and store it; return its id.

    Raises:
        InvalidSpec: before anything is stored.
        StoreUnavailable: if the database cannot be written.
    """
    spec = parse_spec(fields)
    recipe = find(spec.recipe)
    upgrade(settings.database_url)
    engine = open_engine(settings.database_url)
    try:
        return searches.submit(engine, spec, plan_of(spec, recipe), digest_of(spec, recipe))
    finally:
        engine.dispose()


def run_in_foreground(settings: Settings, search_id: str, json: bool, program: str) -> int:
    """Run a queued search to its end and print its result; return the exit code."""
    engine = open_engine(settings.database_url)
    progress = Progress(open_engine(settings.database_url, read_only=True), search_id)
    try:
        with progress:
            search = Worker(settings, engine).run(search_id, progress.update)
    except KeyboardInterrupt:
        _say(f"\nInterrupted. Finish it with: {program} resume {search_id}")
        return EXIT_INTERRUPTED
    finally:
        engine.dispose()
    return _conclude(settings, search, json, program)


def _conclude(settings: Settings, search: searches.Search, json: bool, program: str) -> int:
    """Print how a search ended; return the exit code."""
    _print(settings, search.id, json, program)
    if search.status == "done":
        return EXIT_OK
    _say(f"The search is {search.status}: {search.reason or 'no reason was given'}")
    if search.status == "failed":
        _say(f"Logs are under {settings.folder_of(search.id)}")
        return EXIT_FAILED
    if search.status == "paused":
        _say(f"Go on with: {program} resume {search.id}")
    return EXIT_STOPPED


def watch_here(settings: Settings, search_id: str, json: bool, program: str) -> int:
    """Follow a search until it ends or is paused, and print its result; return the exit code.

    Raises:
        NotFound: if no search has that id.
    """
    upgrade(settings.database_url)
    engine = open_engine(settings.database_url, read_only=True)
    try:
        with Progress(engine, search_id) as progress:
            while True:
                with engine.connect() as connection:
                    search = searches.get(connection, search_id)
                if search.status not in ("queued", "running"):
                    break
                progress.update()
                time.sleep(0.25)
    except KeyboardInterrupt:
        _say(f"\nNo longer watching; the search goes on. Watch it again with: {program} watch {search_id}")
        return EXIT_INTERRUPTED
    finally:
        engine.dispose()
    return _conclude(settings, search, json, program)


def resume_here(settings: Settings, search_id: str, json: bool, program: str, accept_code_change: bool = False) -> int:
    """Finish a search; print the result of one that is done. Return the exit code.

    Raises:
        NotFound: if no search has that id.
        Conflict: if a living process runs it, or it was cancelled.
    """
    upgrade(settings.database_url)
    engine = open_engine(settings.database_url)
    try:
        with engine.connect() as connection:
            search = searches.get(connection, search_id)
        if search.status == "done":
            _print(settings, search_id, json, program)
            return EXIT_OK
        _wait_for_lease(engine, search_id)
        digest = digest_of(search.spec, find(search.spec.recipe)) if accept_code_change else None
        searches.queue(engine, search_id, digest)
    finally:
        engine.dispose()
    return run_in_foreground(settings, search_id, json, program)


def _wait_for_lease(engine: Any, search_id: str) -> None:
    """Wait until a dead driver's lease ends, saying so; refuse one that is still renewed."""
    said, last = False, float("inf")
    while True:
        with engine.connect() as connection:
            holder = leases.holder_of(connection, search_id)
        if holder is None:
            return
        if holder["seconds_left"] > last + 0.5:
            raise Conflict(
                f"search {search_id} must have no driver: process {holder['pid']} on {holder['host']} runs it. "
                f"Follow it with: seqnorm show {search_id}"
            )
        last = min(last, holder["seconds_left"])
        if not said:
            _say(
                f"Waiting for the lease of process {holder['pid']} on {holder['host']} to end, "
                f"{holder['seconds_left']:.0f} s at most …"
            )
            said = True
        time.sleep(0.5)


def _print(settings: Settings, search_id: str, json: bool, program: str) -> None:
    engine = open_engine(settings.database_url, read_only=True)
    try:
        with engine.connect() as connection:
            shown = queries.show_search(connection, search_id)
    finally:
        engine.dispose()
    print_result(shown, json, settings, program)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
