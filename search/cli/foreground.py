"""``tune``, ``grid``, ``resume`` and ``watch``: run or follow one search, with live progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from search.actions.by_hand import write_line
from search.actions.submit import submit_search
from search.cli.advice import localize
from search.cli.backends import RemoteBackend, make_backend
from search.cli.exit_codes import EXIT_FAILED, EXIT_OK, EXIT_STOPPED
from search.cli.interruption import Interruption
from search.cli.output import print_stderr, print_view
from search.cli.progress import Progress
from search.cli.tables import print_result
from search.engine import orphans
from search.engine.cluster_address import require_ray
from search.engine.worker import Worker
from search.plan.digest import compute_digest
from search.plan.recipes import find_recipe
from search.plan.spec import refusing_specs
from search.private_files import require_home
from search.settings import Settings
from search.store import leases, queries, recovery, searches
from search.store.database import DatabaseError, Engine, open_engine
from search.store.opening import open_store
from search.store.patience import is_passing
from search.views import SearchView
from search.vocabulary.errors import Conflict
from search.vocabulary.states import Status, TrialState
from trainers.commands.command import Command

REQUEUED_SECONDS = 0.5  # before a search that a driver left queued is run again


def run_locally(
    settings: Settings, fields: dict[str, Any], json: bool, program: str, command: Command | None = None
) -> int:
    """Submit a search and run it until it ends; return the exit code.

    Raises:
        SearchError: before anything is stored, e.g. because Ray cannot be reached or started.
    """
    require_home(settings.home)
    require_ray(settings)
    with Interruption() as interruption:
        return _run(settings, submit_search(settings, fields, command), json, program, interruption)


def resume_locally(
    settings: Settings, search_id: str, json: bool, program: str, accept_code_change: bool = False
) -> int:
    """Finish a search; if it is done, print its result. Return the exit code.

    Raises:
        NotFound: if no search has that id.
        Conflict: if another live process runs it, or it was cancelled.
        RayUnavailable: if Ray cannot be reached or started; nothing is changed then.
        StoreUnavailable: if the home folder cannot be written.
    """
    with Interruption() as interruption:
        engine = open_store(settings.database_url)
        try:
            with engine.connect() as connection:
                search = searches.get(connection, search_id)
            if search.status == Status.DONE:
                return _conclude(settings, search.id, json, program)
            if search.bound:
                search.bound.require_here(search_id)
            require_home(settings.home)
            require_ray(settings)
            _wait_for_lease(engine, search_id, interruption)
            recovery.recover_search(settings.database_url, engine, search_id)
            digest = None
            if accept_code_change:
                with refusing_specs():
                    recipe = find_recipe(search.spec.recipe, settings.home, search.command)
                    digest = compute_digest(search.spec, recipe, settings.home)
            with engine.begin() as connection:
                searches.resume(connection, search_id, digest)
        except KeyboardInterrupt:
            return interruption.exit_code
        finally:
            engine.dispose()
        return _run(settings, search_id, json, program, interruption)


def resume_remotely(settings: Settings, search_id: str, json: bool, program: str, accept_code_change: bool) -> int:
    """Queue a search at a service; if it is done, print its result. Return the exit code.

    Raises:
        NotFound: if no search has that id.
        Conflict: if it was cancelled.
    """
    backend = RemoteBackend(settings)
    shown = backend.show(search_id)
    if shown.status == Status.DONE:
        return conclude(settings, shown, json, program)
    answer = backend.resume(search_id, accept_code_change)
    if json:
        print_view(answer)
    else:
        print(f"{search_id} is {answer.status}. A worker of the service continues it: {program} watch {search_id}")
    return EXIT_OK


def watch(settings: Settings, search_id: str, json: bool, program: str) -> int:
    """Follow a local or remote search until it ends or is paused; print its result and return the exit code.

    Raises:
        NotFound: if no search has that id.
    """
    backend = make_backend(settings)
    with Interruption(at_once=True) as interruption:
        try:
            with Progress(program) as progress:

                def tick(found: SearchView) -> None:
                    progress.update(found, lambda: backend.trials(search_id, state=TrialState.FAIL))

                shown = backend.follow(search_id, tick)
        except KeyboardInterrupt:
            print_stderr(f"No longer watching; the search goes on. Watch it again with: {program} watch {search_id}")
            return interruption.exit_code
    return conclude(settings, shown, json, program)


def _run(settings: Settings, search_id: str, json: bool, program: str, interruption: Interruption) -> int:
    """Run a queued search until it ends and print its result; on a signal, pause it. Return the exit code."""
    engine = open_engine(settings.database_url)
    worker = Worker(settings, engine)
    orphans.clean_up(settings.search_folders())  # of a command that was killed
    with engine.connect() as connection:
        provenance = searches.get(connection, search_id).provenance
    if provenance and provenance.data:
        print_stderr(f"Data: {provenance.data}")
    try:
        search = _follow(settings, search_id, lambda tick: _run_to_end(worker, search_id, tick), interruption, program)
    except KeyboardInterrupt:
        recovery.interrupt(settings.database_url, engine, search_id, worker.epochs.get(search_id))
        print_stderr(f"\nInterrupted. Finish it with: {program} resume {search_id}")
        return interruption.exit_code
    finally:
        engine.dispose()
    return _conclude(settings, search.id, json, program)


def _run_to_end(worker: Worker, search_id: str, tick: Callable[[], None]) -> searches.Search:
    """Run a search until it ends, is paused or cancelled; a driver that is told to stop leaves it queued."""
    while (search := worker.run(search_id, tick)).status == Status.QUEUED:
        tick()
        time.sleep(REQUEUED_SECONDS)
    return search


def _follow(
    settings: Settings,
    search_id: str,
    run: Callable[[Callable[[], None]], searches.Search],
    interruption: Interruption,
    program: str,
) -> searches.Search:
    """Show a search's progress while ``run`` runs; ``run`` gets a callback to call at every step."""
    reading = open_engine(settings.database_url, read_only=True)
    try:
        with Progress(program) as progress:

            def tick() -> None:
                interruption.check()
                try:
                    progress.read(reading, search_id)
                except DatabaseError as error:  # the driver tries again, and so does the worker
                    if not is_passing(error):
                        raise

            return run(tick)
    finally:
        reading.dispose()


def _conclude(settings: Settings, search_id: str, json: bool, program: str) -> int:
    engine = open_engine(settings.database_url, read_only=True)
    try:
        with engine.connect() as connection:
            shown = queries.show_search(connection, search_id)
            command = searches.get(connection, search_id).command
    finally:
        engine.dispose()
    return conclude(settings, shown, json, program, command)


def conclude(settings: Settings, shown: SearchView, json: bool, program: str, command: Command | None = None) -> int:
    """Print the outcome of a search, and how its own ``command`` runs by hand; return the exit code."""
    print_result(shown, json, settings, program)
    if shown.status == Status.DONE:
        if command and (point := shown.chosen):
            numbers = shown.numbers_of(point.variant, shown.stages[-1].name)
            line = write_line(command, point, numbers, shown.spec.seeds[0], Path.cwd())
            print_stderr(f"Train with {point} by hand: {line}")
        return EXIT_OK
    print_stderr(f"The search is {shown.status}: {localize(shown.reason or 'no reason was given', program)}")
    if shown.status == Status.FAILED and not settings.url:
        print_stderr(f"Logs are under {settings.search_folder(shown.search)}")
    for step in next_steps(shown, program):
        print_stderr(step)
    return EXIT_FAILED if shown.status == Status.FAILED else EXIT_STOPPED


def next_steps(shown: SearchView, program: str) -> Iterator[str]:
    """Say how a search that stopped goes on. Its reason names the command itself if the code has changed."""
    if shown.status not in (Status.PAUSED, Status.FAILED) or "--accept-code-change" in shown.reason:
        return
    if shown.trials.retriable:
        yield f"Train its failed trials again with: {program} retry {shown.search}"
    if shown.status == Status.PAUSED:
        yield f"Go on with: {program} resume {shown.search}"
    elif not shown.trials.retriable:
        are_refused = any(row.failed for stage in shown.stages for row in stage.candidates)  # which resume leaves out
        yield f"Once that is fixed, go on with: {program} {'retry' if are_refused else 'resume'} {shown.search}"


def _wait_for_lease(engine: Engine, search_id: str, interruption: Interruption) -> None:
    """Wait until a dead driver's lease expires, and say so; raise Conflict if the lease is still renewed."""
    announced, last = False, float("inf")
    while True:
        interruption.check()
        with engine.connect() as connection:
            holder = leases.find_holder(connection, search_id)
        if holder is None:
            return
        who = f"process {holder.pid} on {holder.host}"
        if holder.seconds_left > last + 0.5:
            raise Conflict(
                f"a search has one driver: got {search_id}, which {who} runs. Follow it with: seqnorm watch {search_id}"
            )
        last = min(last, holder.seconds_left)
        if not announced:
            print_stderr(f"Waiting for the lease of {who} to end, {holder.seconds_left:.0f} s at most …")
            announced = True
        time.sleep(0.5)
