"""Where a command runs: on the local database, or at a remote service. Both give the same results."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol, TypedDict, Unpack

from search.settings import Settings
from search.vocabulary.errors import InvalidSpec, StoreUnavailable
from search.vocabulary.exports import ExportFormat, ExportTable
from search.vocabulary.places import Place
from search.vocabulary.secret import redact
from search.vocabulary.states import Action, Status, TrialState

if TYPE_CHECKING:
    from search.store.database import Connection, Engine
    from search.store.queries import SearchSort, Sort
    from search.views import LogPart, PlanView, RecipeView, SearchRow, SearchState, SearchView, TrialRow
    from trainers.commands.command import Command

Fields = dict[str, Any]  #: of a search, as the user gave them
REQUESTED_STATUS = {Action.PAUSE: Status.PAUSED, Action.CANCEL: Status.CANCELLED}


class Filters(TypedDict, total=False):
    """Which searches are listed, in which order; the filters of ``GET /api/searches``."""

    id: str  #: start of the id
    status: Status | None
    recipe: str | None
    name: str | None  #: a part of it
    owner: str | None
    tag: str | None
    archived: bool  #: the archived ones instead of the others
    sort: SearchSort


class Backend(Protocol):
    """The operations that commands need."""

    address: str  #: shown to users, so that they find the search again

    def submit(self, fields: Fields, command: Command | None = None) -> str:
        """Queue a search; return its id."""

    def plan(self, fields: Fields, command: Command | None = None) -> PlanView:
        """Count the trials that a search would take."""

    def searches(self, limit: int, **filters: Unpack[Filters]) -> list[SearchRow]:
        """List searches, newest first unless sorted otherwise."""

    def show(self, search_id: str) -> SearchView:
        """Show a search."""

    def follow(self, search_id: str, tick: Callable[[SearchView], None]) -> SearchView:
        """Poll a search until it ends or is paused, calling ``tick`` with each state; return the last one."""

    def request(self, search_id: str, action: Literal[Action.PAUSE, Action.CANCEL]) -> SearchState:
        """Request that a search is paused or cancelled."""

    def retry(self, search_id: str) -> SearchState:
        """Queue a search again to rerun its failed trials."""

    def widen(self, search_id: str, more: Fields) -> SearchState:
        """Queue a child of a search with more values or seeds."""

    def trials(
        self, search_id: str, state: TrialState | None = None, sort: Sort = "started", after: int = 0, limit: int = 50
    ) -> list[TrialRow]:
        """List trials; ``after`` is the trial_id of the last one on the previous page."""

    def log_part(self, search_id: str, stage: str, number: int, after: int) -> LogPart:
        """Return a part of a trial's log from an offset."""

    def recipes(self) -> tuple[list[RecipeView], dict[str, str]]:
        """Describe the recipes; return too what is wrong with files that describe none, by name."""

    def export(
        self,
        search_id: str,
        format: ExportFormat,
        file: BinaryIO,
        table: ExportTable = "trials",
    ) -> None:
        """Write all trials or all candidates of a search to a file."""


def make_backend(settings: Settings) -> Backend:
    """Return the backend that the settings select."""
    return RemoteBackend(settings) if settings.url else LocalBackend(settings)


def require_local(settings: Settings, command: str) -> None:
    """Check that a command which only works on this machine is not sent to a service.

    Raises:
        InvalidSpec: if the settings name a service.
    """
    if settings.url:
        raise InvalidSpec(
            f"{command} only runs on this machine: got the service {redact(settings.url)}. "
            "Leave out --url and SEQNORM_URL."
        )


class LocalBackend:
    """Runs commands on the database that the settings name."""

    FOLLOW_SECONDS = 0.25

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.address = f"Database: {settings.database_url}"

    def submit(self, fields: Fields, command: Command | None = None) -> str:
        """Queue a search; return its id."""
        from search.actions.submit import submit_search

        return submit_search(self._settings, fields, command)

    def plan(self, fields: Fields, command: Command | None = None) -> PlanView:
        """Count the trials that a search would take."""
        from search.actions.estimate import estimate

        estimate(self._settings, fields, command=command)  # raises InvalidSpec before the database is opened
        seconds = None if command else self._seconds_per_trial(fields["recipe"])  # another program may have its name
        return estimate(self._settings, fields, seconds, command)

    def searches(self, limit: int, **filters: Unpack[Filters]) -> list[SearchRow]:
        """List searches, newest first unless sorted otherwise."""
        from search.store import queries

        with self._read_connection() as connection:
            return queries.list_searches(connection, limit=limit, **filters)

    def show(self, search_id: str) -> SearchView:
        """Show a search."""
        from search.store import queries

        with self._read_connection() as connection:
            return queries.show_search(connection, search_id)

    def follow(self, search_id: str, tick: Callable[[SearchView], None]) -> SearchView:
        """Poll a search until it ends or is paused, calling ``tick`` with each state; return the last one."""
        import time

        while True:
            shown = self.show(search_id)
            tick(shown)
            if not shown.status.active:
                return shown
            time.sleep(self.FOLLOW_SECONDS)

    def request(self, search_id: str, action: Literal[Action.PAUSE, Action.CANCEL]) -> SearchState:
        """Request that a search is paused or cancelled."""
        from search.engine import orphans
        from search.store import recovery, searches
        from search.views import SearchState

        with self._write_engine() as engine:
            with engine.begin() as connection:
                search = searches.request_status(connection, search_id, REQUESTED_STATUS[action])
            recovery.try_recover(self._settings.database_url, engine, search_id)
        orphans.clean_up([self._settings.search_folder(search_id)])  # of a command that was killed
        return SearchState(search=search_id, status=search.status, requested_status=search.requested_status)

    def retry(self, search_id: str) -> SearchState:
        """Queue a search again to rerun its failed trials."""
        from search.actions.widen import prepare_retry
        from search.views import SearchState

        with self._read_connection() as connection:
            prepared = prepare_retry(self._settings, connection, search_id)
        with self._write_connection() as connection:
            retried = prepared.store(connection)
        return SearchState(search=retried.search_id, status=Status.QUEUED, parent=retried.parent, trials=retried.trials)

    def widen(self, search_id: str, more: Fields) -> SearchState:
        """Queue a child of a search with more values or seeds."""
        from search.actions.widen import parse_widening, prepare_widening
        from search.store import searches
        from search.views import SearchState

        widening = parse_widening(more)
        with self._read_connection() as connection:
            submission = prepare_widening(self._settings, searches.get(connection, search_id), widening)
        with self._write_connection() as connection:
            child = submission.store(connection)
        return SearchState(search=child, status=Status.QUEUED, parent=search_id)

    def trials(
        self, search_id: str, state: TrialState | None = None, sort: Sort = "started", after: int = 0, limit: int = 50
    ) -> list[TrialRow]:
        """List trials; ``after`` is the trial_id of the last one on the previous page."""
        from search.store import queries

        with self._read_connection() as connection:
            return queries.list_trials(connection, search_id, state=state, sort=sort, after=after, limit=limit)

    def log_part(self, search_id: str, stage: str, number: int, after: int) -> LogPart:
        """Return a part of a trial's log from an offset."""
        from search.actions.logs import read_log
        from search.store import queries

        with self._read_connection() as connection:
            trial = queries.find_trial(connection, search_id, stage, number)
        return read_log(self._settings, search_id, trial, after)

    def recipes(self) -> tuple[list[RecipeView], dict[str, str]]:
        """Describe the recipes; return too what is wrong with files that describe none, by name."""
        from search.views import RecipeView
        from trainers.commands.listing import list_recipes

        found, faults = list_recipes(self._settings.home)
        return [RecipeView.from_recipe(recipe) for recipe in found], faults

    def export(
        self,
        search_id: str,
        format: ExportFormat,
        file: BinaryIO,
        table: ExportTable = "trials",
    ) -> None:
        """Write all trials or all candidates of a search to a file."""
        from search.actions.export import export

        for piece in export(self._read_connection, search_id, format, table):
            file.write(piece.encode())

    def _seconds_per_trial(self, recipe: str) -> float | None:
        """Return how long trials of a recipe took; None if there is no database yet."""
        from search.store import queries

        try:
            with self._read_connection() as connection:
                return queries.seconds_per_trial(connection, recipe)
        except StoreUnavailable:
            return None

    @contextmanager
    def _read_connection(self) -> Iterator[Connection]:
        """Open the database read-only, so that long reads block no writer."""
        from search.store.database import open_engine
        from search.store.opening import open_store

        open_store(self._settings.database_url).dispose()
        engine = open_engine(self._settings.database_url, read_only=True)
        try:
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()

    @contextmanager
    def _write_connection(self) -> Iterator[Connection]:
        with self._write_engine() as engine, engine.begin() as connection:
            yield connection

    @contextmanager
    def _write_engine(self) -> Iterator[Engine]:
        from search.store.opening import open_store

        engine = open_store(self._settings.database_url)
        try:
            yield engine
        finally:
            engine.dispose()


class RemoteBackend:
    """Runs commands at the service that the settings name."""

    def __init__(self, settings: Settings) -> None:
        from search.client import Client

        self._client = Client(settings.url, settings.token_for(settings.url).reveal(), place=Place.COMMAND_LINE)
        weakref.finalize(self, self._client.close)
        self.address = f"Service: {settings.url}"

    def submit(self, fields: Fields, command: Command | None = None) -> str:
        """Queue a search; return its id."""
        _require_recipe(fields, command)
        return self._client.submit(fields).search

    def plan(self, fields: Fields, command: Command | None = None) -> PlanView:
        """Count the trials that a search would take."""
        _require_recipe(fields, command)
        return self._client.plan(fields)

    def searches(self, limit: int, **filters: Unpack[Filters]) -> list[SearchRow]:
        """List searches, newest first unless sorted otherwise."""
        return list(self._client.searches(limit=limit, **filters))

    def show(self, search_id: str) -> SearchView:
        """Show a search."""
        return self._client.show(search_id)

    def follow(self, search_id: str, tick: Callable[[SearchView], None]) -> SearchView:
        """Poll a search until it ends or is paused, calling ``tick`` with each state; return the last one."""
        for shown in self._client.follow(search_id):  # yields at least once
            tick(shown)
        return shown

    def request(self, search_id: str, action: Literal[Action.PAUSE, Action.CANCEL]) -> SearchState:
        """Request that a search is paused or cancelled."""
        return self._client.pause(search_id) if action == Action.PAUSE else self._client.cancel(search_id)

    def resume(self, search_id: str, accept_code_change: bool) -> SearchState:
        """Queue a paused or failed search for a worker of the service."""
        return self._client.resume(search_id, accept_code_change)

    def retry(self, search_id: str) -> SearchState:
        """Queue a search again to rerun its failed trials."""
        return self._client.retry(search_id)

    def widen(self, search_id: str, more: Fields) -> SearchState:
        """Queue a child of a search with more values or seeds."""
        return self._client.widen(search_id, **more)

    def trials(
        self, search_id: str, state: TrialState | None = None, sort: Sort = "started", after: int = 0, limit: int = 50
    ) -> list[TrialRow]:
        """List trials; ``after`` is the trial_id of the last one on the previous page."""
        return list(self._client.trials_page(search_id, state=state, sort=sort, after=after, limit=limit).trials)

    def log_part(self, search_id: str, stage: str, number: int, after: int) -> LogPart:
        """Return a part of a trial's log from an offset."""
        return self._client.log_part(search_id, stage, number, after)

    def recipes(self) -> tuple[list[RecipeView], dict[str, str]]:
        """Describe the recipes; a service tells nobody what is wrong with the files of others."""
        return self._client.recipes(), {}

    def export(
        self,
        search_id: str,
        format: ExportFormat,
        file: BinaryIO,
        table: ExportTable = "trials",
    ) -> None:
        """Write all trials or all candidates of a search to a file."""
        self._client.export(search_id, file, format, table)


def _require_recipe(fields: Fields, command: Command | None) -> None:
    """Refuse a program of this machine to a service, and show the file that would describe it there.

    Raises:
        InvalidSpec: if there is one.
    """
    from search.cli.recipe_text import write_recipe

    if command:
        raise InvalidSpec(
            f"a service runs recipes, never programs of whoever asks: got {fields['recipe']}. "
            "Leave out --url and SEQNORM_URL, or have the operator of the service save this as HOME/recipes/NAME.toml, "
            f"and give NAME:\n\n{write_recipe(command)}"
        )
