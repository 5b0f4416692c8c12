"""Those who give commands: at the database, as the command line and the routes do, or at a web service.

The one place that names the product's functions for commands.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx2

from search.actions.submit import submit_search
from search.actions.widen import parse_widening, prepare_retry, prepare_widening
from search.settings import Settings
from search.store import searches
from search.store.database import DatabaseError, open_engine
from search.vocabulary.errors import Conflict, InvalidSpec, NotFound, StoreUnavailable
from search.vocabulary.states import Status
from tests.faults.history import Command, History, Response

REFUSALS = (Conflict, NotFound, InvalidSpec)
UNKNOWN = (DatabaseError, StoreUnavailable)


class Person:
    """Gives commands at the database."""

    def __init__(self, settings: Settings, history: History) -> None:
        self._settings, self._history = settings, history
        self._engine = open_engine(settings.database_url)

    def submit(self, fields: dict[str, Any]) -> Command:
        """Submit a search, whose name tells it from others."""
        return self._give("submit", fields["name"], lambda: submit_search(self._settings, fields))

    def pause(self, search_id: str) -> Command:
        return self._write("pause", search_id, lambda c: searches.request_status(c, search_id, Status.PAUSED))

    def cancel(self, search_id: str) -> Command:
        return self._write("cancel", search_id, lambda c: searches.request_status(c, search_id, Status.CANCELLED))

    def resume(self, search_id: str) -> Command:
        return self._write("resume", search_id, lambda c: searches.resume(c, search_id))

    def archive(self, search_id: str) -> Command:
        return self._write("archive", search_id, lambda c: searches.archive(c, search_id))

    def retry(self, search_id: str) -> Command:
        def retry() -> str:
            with self._engine.connect() as connection:
                prepared = prepare_retry(self._settings, connection, search_id)
            with self._engine.begin() as connection:
                return prepared.store(connection).search_id

        return self._give("retry", search_id, retry)

    def widen(self, search_id: str, more: dict[str, Any]) -> Command:
        def widen() -> str:
            with self._engine.connect() as connection:
                prepared = prepare_widening(self._settings, searches.get(connection, search_id), parse_widening(more))
            with self._engine.begin() as connection:
                return prepared.store(connection)

        return self._give("widen", search_id, widen)

    def close(self) -> None:
        self._engine.dispose()

    def _write(self, what: str, search_id: str, change: Callable[[Any], object]) -> Command:
        def write() -> str:
            with self._engine.begin() as connection:
                change(connection)
                search = searches.get(connection, search_id)
            return f"{search.status} {search.requested_status or ''}".strip()

        return self._give(what, search_id, write)

    def _give(self, what: str, subject: str, command: Callable[[], str]) -> Command:
        return self._history.give(what, subject, command, REFUSALS, UNKNOWN)


class Refused(Exception):
    """The service refused."""


class NoAnswer(Exception):
    """The service cannot say what became of it."""


class Visitor:
    """Gives the same commands at a web service, and records each of its answers."""

    def __init__(self, url: str, token: str, history: History) -> None:
        self._history = history
        headers = {"Authorization": f"Bearer {token}"}
        self._client = httpx2.Client(base_url=url, headers=headers, timeout=20)

    def submit(self, fields: dict[str, Any]) -> Command:
        return self._give("submit", fields["name"], lambda: self._post("/api/searches", fields)["search"])

    def pause(self, search_id: str) -> Command:
        return self._act("pause", search_id)

    def cancel(self, search_id: str) -> Command:
        return self._act("cancel", search_id)

    def resume(self, search_id: str) -> Command:
        return self._act("resume", search_id)

    def retry(self, search_id: str) -> Command:
        return self._act("retry", search_id)

    def archive(self, search_id: str) -> Command:
        return self._give("archive", search_id, lambda: str(self.ask("DELETE", f"/api/searches/{search_id}")))

    def widen(self, search_id: str, more: dict[str, Any]) -> Command:
        path = f"/api/searches/{search_id}/widen"
        return self._give("widen", search_id, lambda: self._post(path, more)["search"])

    def close(self) -> None:
        self._client.close()

    def ask(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        """Send a request; record the answer.

        Raises:
            Refused: if the service says so.
            NoAnswer: if it cannot serve, or does not answer.
        """
        try:
            response = self._client.request(method, path, json=body)
        except httpx2.HTTPError as error:
            raise NoAnswer(f"{type(error).__name__}: {error}") from error
        self._history.add(
            Response(
                at=time.monotonic(),
                request=f"{method} {path}",
                status=response.status_code,
                content_type=response.headers.get("content-type", "").partition(";")[0],
                retry_after=response.headers.get("retry-after"),
                body=response.text[:2000] if response.status_code >= 400 else "",
            )
        )
        if response.status_code >= 500:
            raise NoAnswer(f"{response.status_code} {response.text[:200]}")
        if response.status_code >= 400:
            raise Refused(f"{response.status_code} {response.text[:200]}")
        return response

    def _post(self, path: str, body: Any = None) -> dict[str, Any]:
        answer: dict[str, Any] = self.ask("POST", path, body).json()
        return answer

    def _act(self, what: str, search_id: str) -> Command:
        def act() -> str:
            answer = self._post(f"/api/searches/{search_id}/{what}")
            return f"{answer['status']} {answer['requested_status'] or ''}".strip()

        return self._give(what, search_id, act)

    def _give(self, what: str, subject: str, command: Callable[[], str]) -> Command:
        return self._history.give(what, subject, command, (Refused,), (NoAnswer,))
