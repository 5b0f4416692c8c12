"""Where a command works: in the store of this machine, or at a service elsewhere. Both answer the same."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol

from search.settings import Settings
from search.vocabulary.errors import InvalidSpec, StoreUnavailable
from search.vocabulary.secret import redact
from search.vocabulary.states import Action, Status

if TYPE_CHECKING:
    from search.store.database import Connection
    from search.views import PlanView, RecipeView, SearchRow, SearchState, SearchView

Fields = dict[str, Any]  #: of a search, as a person gave them
REQUESTED_STATUS = {Action.PAUSE: Status.PAUSED, Action.CANCEL: Status.CANCELLED}


class Backend(Protocol):
    """What commands ask of either."""

    address: str  #: where a person finds it again

    def submit(self, fields: Fields) -> str:
        """Queue a search; return its id."""

    def plan(self, fields: Fields) -> PlanView:
        """Count the trials that a search would take."""

    def searches(self, status: Status | None, limit: int) -> list[SearchRow]:
        """List searches, newest first."""

    def show(self, search_id: str) -> SearchView:
        """Show a search."""

    def follow(self, search_id: str, tick: Callable[[SearchView], None]) -> SearchView:
        """Show a search again and again until it ends or is paused; return it as it then is."""

    def request(self, search_id: str, action: Literal[Action.PAUSE, Action.CANCEL]) -> SearchState:
        """Ask for a search to be paused or cancelled."""

    def retry(self, search_id: str) -> SearchState:
        """Queue a search again for its failed trials."""

    def widen(self, search_id: str, more: Fields) -> SearchState:
        """Queue a child of a search with more values or seeds."""

    def recipes(self) -> list[RecipeView]:
        """Describe the recipes."""

    def export(self, search_id: str, format: Literal["csv", "json"], file: BinaryIO) -> None:
        """Write every trial of a search to a file."""


def make_backend(settings: Settings) -> Backend:
    """Return where the settings say that commands work."""
    return RemoteBackend(settings) if settings.url else LocalBackend(settings)


def require_local(settings: Settings, command: str) -> None:
    """Refuse a command at a service that only makes sense on this machine.

    Raises:
        InvalidSpec: if a service is named.
    """
    if settings.url:
        raise InvalidSpec(
            f"{command} works on this machine alone: got the service {redact(settings.url)}. "
            "Leave out --url and SEQNORM_URL."
        )


class LocalBackend:
    """The store that the settings name."""

    FOLLOW_SECONDS = 0.25

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.address = f"Database: {settings.database_url}"

    def submit(self, fields: Fields) -> str:
        """Queue a search; return its id."""
        from search.actions.submit import submit_search

        return submit_search(self._settings, fields)

    def plan(self, fields: Fields) -> PlanView:
        """Count the trials that a search would take."""
        from search.actions.estimate import estimate

        estimate(fields)  # refuses before the store is looked for
        return estimate(fields, self._seconds_per_trial(fields["recipe"]))

    def searches(self, status: Status | None, limit: int) -> list[SearchRow]:
        """List searches, newest first."""
        from search.store import queries

        with self._read_connection() as connection:
            return queries.list_searches(connection, status, limit=limit)

    def show(self, search_id: str) -> SearchView:
        """Show a search."""
        from search.store import queries

        with self._read_connection() as connection:
            return queries.show_search(connection, search_id)

    def follow(self, search_id: str, tick: Callable[[SearchView], None]) -> SearchView:
        """Show a search again and again until it ends or is paused; return it as it then is."""
        import time

        while True:
            shown = self.show(search_id)
            tick(shown)
            if not shown.status.active:
                return shown
            time.sleep(self.FOLLOW_SECONDS)

    def request(self, search_id: str, action: Literal[Action.PAUSE, Action.CANCEL]) -> SearchState:
        """Ask for a search to be paused or cancelled."""
        from search.store import searches
        from search.views import SearchState

        with self._write_connection() as connection:
            search = searches.request_status(connection, search_id, REQUESTED_STATUS[action])
        return SearchState(search=search_id, status=search.status, requested_status=search.requested_status)

    def retry(self, search_id: str) -> SearchState:
        """Queue a search again for its failed trials."""
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

    def recipes(self) -> list[RecipeView]:
        """Describe the recipes."""
        from search.views import RecipeView
        from trainers.recipe import RecipeError, find, names

        try:
            return [RecipeView.from_recipe(find(name)) for name in names()]
        except RecipeError as error:
            raise InvalidSpec(str(error)) from None

    def export(self, search_id: str, format: Literal["csv", "json"], file: BinaryIO) -> None:
        """Write every trial of a search to a file."""
        from search.actions.export import export

        with self._read_connection() as connection:
            for piece in export(connection, search_id, format):
                file.write(piece.encode())

    def _seconds_per_trial(self, recipe: str) -> float | None:
        """Tell how long trials of a recipe took; None where there is no store yet."""
        from search.store import queries

        try:
            with self._read_connection() as connection:
                return queries.seconds_per_trial(connection, recipe)
        except StoreUnavailable:
            return None

    @contextmanager
    def _read_connection(self) -> Iterator[Connection]:
        """Open the store, and a connection that keeps nobody from writing, however long it is used."""
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
        from search.store.opening import open_store

        engine = open_store(self._settings.database_url)
        try:
            with engine.begin() as connection:
                yield connection
        finally:
            engine.dispose()


class RemoteBackend:
    """The service that the settings name."""

    def __init__(self, settings: Settings) -> None:
        from search.client import Client

        self._client = Client(settings.url, settings.token_for(settings.url).reveal())
        weakref.finalize(self, self._client.close)
        self.address = f"Service: {settings.url}"

    def submit(self, fields: Fields) -> str:
        """Queue a search; return its id."""
        return self._client.submit(fields).search

    def plan(self, fields: Fields) -> PlanView:
        """Count the trials that a search would take."""
        return self._client.plan(fields)

    def searches(self, status: Status | None, limit: int) -> list[SearchRow]:
        """List searches, newest first."""
        return list(self._client.searches(status=status, limit=limit))

    def show(self, search_id: str) -> SearchView:
        """Show a search."""
        return self._client.show(search_id)

    def follow(self, search_id: str, tick: Callable[[SearchView], None]) -> SearchView:
        """Show a search again and again until it ends or is paused; return it as it then is."""
        for shown in self._client.follow(search_id):  # at least once: as it is now
            tick(shown)
        return shown

    def request(self, search_id: str, action: Literal[Action.PAUSE, Action.CANCEL]) -> SearchState:
        """Ask for a search to be paused or cancelled."""
        return self._client.pause(search_id) if action == Action.PAUSE else self._client.cancel(search_id)

    def resume(self, search_id: str, accept_code_change: bool) -> SearchState:
        """Queue a paused search for a worker there."""
        return self._client.resume(search_id, accept_code_change)

    def retry(self, search_id: str) -> SearchState:
        """Queue a search again for its failed trials."""
        return self._client.retry(search_id)

    def widen(self, search_id: str, more: Fields) -> SearchState:
        """Queue a child of a search with more values or seeds."""
        return self._client.widen(search_id, **more)

    def recipes(self) -> list[RecipeView]:
        """Describe the recipes."""
        return self._client.recipes()

    def export(self, search_id: str, format: Literal["csv", "json"], file: BinaryIO) -> None:
        """Write every trial of a search to a file."""
        self._client.export(search_id, file, format)
