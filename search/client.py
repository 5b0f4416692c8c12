"""A Python client of the REST API, with one method per operation.

Idempotent requests are retried for ``patience`` seconds if the connection is lost or the service is busy. Methods
return the views of :mod:`search.views` and raise the exceptions of :mod:`search.vocabulary.errors`.
"""

from __future__ import annotations

import ipaddress
import json
import random
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, BinaryIO, Literal, TypeVar
from urllib.parse import quote, urlsplit

import httpx2
from pydantic import TypeAdapter, ValidationError

from search.views import (
    CandidatesView,
    ClusterView,
    ComparedSearches,
    DataSetView,
    EventView,
    LogPart,
    NewTokenView,
    PlanView,
    ReadinessView,
    RecipeView,
    SearchPage,
    SearchRow,
    SearchState,
    SearchView,
    TokenView,
    TrialPage,
    TrialRow,
    TrialView,
)
from search.vocabulary.errors import Conflict, Denied, InvalidSpec, NotFound, SearchError, StoreUnavailable
from search.vocabulary.exports import ExportFormat, ExportTable
from search.vocabulary.places import PLACE_HEADER, Place
from search.vocabulary.states import Status, TrialState

ViewT = TypeVar("ViewT")

CONNECT_SECONDS = 5.0
READ_SECONDS = 60.0  # without data a connection counts as lost; an idle event stream sends something every 15 s
UPLOAD_SECONDS = 1200.0  # until a data set that was sent is unpacked and checked
MIN_RETRY_SECONDS, MAX_RETRY_SECONDS = 0.1, 5.0
RECONNECT_SECONDS = 0.5
FOLLOW_SECONDS = 0.5  # between two reads of a followed search
MAX_PAGE_SIZE = 500

_ERROR_TYPES: dict[int, type[SearchError]] = {
    400: InvalidSpec,
    403: Denied,
    404: NotFound,
    409: Conflict,
    413: InvalidSpec,
    422: InvalidSpec,
}


class Client:
    """A connection to a service; a context manager.

    Args:
        url: of the service, e.g. ``http://127.0.0.1:8000``.
        token: identifies the caller; ``seqnorm token create`` creates one.
        patience: how long a request is retried, in seconds.
        place: where messages are read, which decides their words.

    Every method may raise:
        NotFound: there is no such search, trial, recipe or token.
        Conflict: the search is not in a state that allows this.
        InvalidSpec: the request is not valid; nothing was changed.
        Denied: the service does not know the token, or the token does not allow this.
        StoreUnavailable: there was no response, or not one of a seqnorm service.
    """

    def __init__(
        self,
        url: str,
        token: str = "",  # nosec B107  # no token
        patience: float = 30.0,
        place: Place = Place.API,
    ) -> None:
        self.url = _checked_url(url)
        self.patience = patience
        self._reached = False  # whether the address ever responded
        self._http = httpx2.Client(
            base_url=self.url,
            headers={
                **({"Authorization": f"Bearer {_checked_token(token)}"} if token else {}),
                **({PLACE_HEADER: place} if place else {}),
            },
            timeout=httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            follow_redirects=False,  # the token is only for this service
            trust_env=not is_loopback(self.url),  # a proxy cannot reach this machine
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    # Searches

    def plan(self, fields: Mapping[str, Any]) -> PlanView:
        """Estimate the trials of a search; nothing is stored."""
        return self._call(PlanView, "POST", "searches", "plan", body=fields)

    def submit(self, fields: Mapping[str, Any]) -> SearchState:
        """Queue a search, exactly once even if the request is retried; return its id and status."""
        return self._call(SearchState, "POST", "searches", body=fields, headers={"Idempotency-Key": str(uuid.uuid4())})

    def searches_page(
        self,
        *,
        status: Status | None = None,
        recipe: str | None = None,
        name: str | None = None,
        owner: str | None = None,
        tag: str | None = None,
        sort: Literal["created", "-created", "name", "-name"] = "-created",
        archived: bool = False,
        id: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> SearchPage:
        """Return a page of ``searches``; ``next`` is the cursor of the next page, None on the last."""
        filters = {"status": status, "recipe": recipe, "name": name, "owner": owner, "tag": tag, "id": id}
        query = {**filters, "sort": sort, "archived": archived, "cursor": cursor, "limit": limit}
        return self._call(SearchPage, "GET", "searches", query=query)

    def searches(self, *, limit: int | None = None, **filters: Any) -> Iterator[SearchRow]:
        """Iterate over searches on all pages, newest first; ``filters`` are those of :meth:`searches_page`."""
        cursor = None
        while limit is None or limit > 0:
            page = self.searches_page(cursor=cursor, limit=min(limit or MAX_PAGE_SIZE, MAX_PAGE_SIZE), **filters)
            yield from page.searches
            cursor = page.next
            if cursor is None:
                return
            limit = None if limit is None else limit - len(page.searches)

    def show(self, search_id: str) -> SearchView:
        """Return a search with its stages, candidates, choices, test table and progress."""
        return self._call(SearchView, "GET", "searches", search_id)

    def describe(
        self, search_id: str, *, name: str | None = None, tags: Sequence[str] | None = None, note: str | None = None
    ) -> SearchView:
        """Change the name, tags or note of a search; None leaves a field unchanged. Return the search."""
        given = {"name": name, "tags": None if tags is None else list(tags), "note": note}
        return self._call(SearchView, "PATCH", "searches", search_id, body=_without_none(given))

    def archive(self, search_id: str) -> None:
        """Leave a search out of lists from now on; everything of it is kept."""
        self._send(self._request("DELETE", "searches", search_id))

    def pause(self, search_id: str) -> SearchState:
        """Stop a search so that it can be resumed."""
        return self._call(SearchState, "POST", "searches", search_id, "pause")

    def cancel(self, search_id: str) -> SearchState:
        """Cancel a search permanently."""
        return self._call(SearchState, "POST", "searches", search_id, "cancel")

    def resume(self, search_id: str, accept_code_change: bool = False) -> SearchState:
        """Queue a paused or failed search for a worker."""
        body = {"accept_code_change": accept_code_change}
        return self._call(SearchState, "POST", "searches", search_id, "resume", body=body)

    def retry(self, search_id: str) -> SearchState:
        """Queue a search again to rerun its failed trials; ``trials`` is their number."""
        return self._call(SearchState, "POST", "searches", search_id, "retry", idempotent=False)

    def widen(
        self,
        search_id: str,
        *,
        gm: Sequence[int] | None = None,
        gc: Sequence[int] | None = None,
        seeds: Sequence[int] | int | None = None,
        test_seeds: int | None = None,
    ) -> SearchState:
        """Submit a search with more values or seeds that reuses the trials of this one; return its id."""
        body = _without_none({"gm": gm, "gc": gc, "seeds": seeds, "test_seeds": test_seeds})
        return self._call(SearchState, "POST", "searches", search_id, "widen", body=body, idempotent=False)

    def compare(self, search_ids: Sequence[str]) -> ComparedSearches:
        """Return several ``searches`` together."""
        return self._call(ComparedSearches, "GET", "compare", query={"id": list(search_ids)})

    # What is in a search

    def candidates(self, search_id: str) -> CandidatesView:
        """Return the candidates of each of the ``stages``, and those of ``test``."""
        return self._call(CandidatesView, "GET", "searches", search_id, "candidates")

    def trials_page(
        self,
        search_id: str,
        *,
        stage: str | None = None,
        state: TrialState | None = None,
        gm: int | None = None,
        gc: int | None = None,
        sort: str = "started",
        after: int = 0,
        limit: int = 50,
    ) -> TrialPage:
        """Return a page of ``trials``; ``next`` is the ``after`` of the next page, None on the last."""
        query = {"stage": stage, "state": state, "gm": gm, "gc": gc, "sort": sort, "after": after, "limit": limit}
        return self._call(TrialPage, "GET", "searches", search_id, "trials", query=query)

    def trials(self, search_id: str, **filters: Any) -> Iterator[TrialRow]:
        """Iterate over the trials of a search on all pages; ``filters`` are those of :meth:`trials_page`."""
        after: int | None = 0
        while after is not None:
            page = self.trials_page(search_id, **{"limit": MAX_PAGE_SIZE, **filters, "after": after})
            yield from page.trials
            after = page.next

    def trial(self, search_id: str, stage: str, number: int) -> TrialView:
        """Return a trial with its metrics by epoch, and every attempt at the same point with the same seed."""
        return self._call(TrialView, "GET", "searches", search_id, "trials", stage, str(number))

    def log(self, search_id: str, stage: str, number: int) -> str:
        """Return the end of the log of a trial, which all attempts at its point and seed share."""
        return self._send(self._request("GET", "searches", search_id, "trials", stage, str(number), "log")).text

    def log_part(self, search_id: str, stage: str, number: int, after: int = 0) -> LogPart:
        """Return a part of the log of a trial from an offset; follow it by its ``after`` until it has ``ended``."""
        parts = ("searches", search_id, "trials", stage, str(number), "log", "part")
        return self._call(LogPart, "GET", *parts, query={"after": after})

    def export(
        self,
        search_id: str,
        file: BinaryIO,
        format: ExportFormat = "csv",
        table: ExportTable = "trials",
    ) -> None:
        """Write all trials of a search to a file, or all candidates with their gains."""
        query = {"format": format, "table": table}
        self._download(self._request("GET", "searches", search_id, "export", query=query), file)

    def checkpoint(self, search_id: str, file: BinaryIO) -> None:
        """Write the weights of the chosen point to a file."""
        self._download(self._request("GET", "searches", search_id, "checkpoint"), file)

    def events(self, search_id: str, after: int = 0) -> Iterator[EventView]:
        """Yield the events of a search, from the start or after an event id; reconnect if the connection is lost.

        The iterator does not end by itself.
        """
        last = str(after)
        while True:
            request = self._request("GET", "searches", search_id, "events", headers={"Last-Event-ID": last})
            response = self._send(request, stream=True)
            try:
                for event in _open_event_source(response):
                    last = event.id or last
                    if event.data:
                        yield _parse_json(EventView, event.data, response)
            except httpx2.RequestError:
                pass  # resume after the last complete event
            finally:
                response.close()
            time.sleep(RECONNECT_SECONDS)

    def follow(self, search_id: str) -> Iterator[SearchView]:
        """Yield the search now, and again after each change, until it ends or is paused.

        The last value shows how it ended.
        """
        shown = self.show(search_id)
        yield shown
        if not shown.status.active:
            return
        for event in self.events(search_id, after=shown.newest_event):
            if event.id <= shown.newest_event:  # the last view already includes it
                continue
            time.sleep(FOLLOW_SECONDS)
            shown = self.show(search_id)
            yield shown
            if not shown.status.active:
                return

    # The service

    def recipes(self) -> list[RecipeView]:
        """Return the recipes that are installed at the service, with their numbers and presets."""
        return self._call(list[RecipeView], "GET", "recipes")

    def recipe(self, name: str) -> RecipeView:
        """Return one recipe."""
        return self._call(RecipeView, "GET", "recipes", name)

    def data_sets(self) -> list[DataSetView]:
        """Return the data sets that a search may name."""
        return self._call(list[DataSetView], "GET", "data")

    def upload(self, name: str, file: BinaryIO) -> DataSetView:
        """Add a data set, from a file opened for reading; nothing is sent twice.

        Args:
            name: NAME.npz, or NAME.zip of class folders, which becomes the data set NAME.
            file: its content.
        """
        request = self._http.build_request(
            "POST",
            "/api/data",
            params={"name": name},
            content=file,
            headers={"Content-Type": "application/octet-stream"},
            timeout=httpx2.Timeout(UPLOAD_SECONDS, connect=CONNECT_SECONDS),
        )
        return _parse_response(DataSetView, self._attempt(request, stream=False, allowed_status=None))

    def cluster(self) -> ClusterView:
        """Return the workers, the running searches with their nodes, and the queued searches with the reason."""
        return self._call(ClusterView, "GET", "cluster")

    def tokens(self) -> list[TokenView]:
        """Return all tokens without their secrets, including revoked and expired ones."""
        return self._call(list[TokenView], "GET", "tokens")

    def create_token(self, name: str, *, owner: str, scopes: Sequence[str], days: float | None = 90) -> NewTokenView:
        """Create a token; ``text`` is the secret, which is never shown again."""
        body = {"name": name, "owner": owner, "scopes": list(scopes), "days": days}
        return self._call(NewTokenView, "POST", "tokens", body=body, idempotent=False)

    def revoke_token(self, token_id: str) -> None:
        """Revoke a token."""
        self._send(self._request("DELETE", "tokens", token_id))

    def ready(self) -> ReadinessView:
        """Return the state of each part that searches need."""
        request = self._http.build_request("GET", "/readyz")
        return _parse_response(ReadinessView, self._send(request, allowed_status=503))

    # Requests

    def _call(
        self,
        kind: type[ViewT],
        method: str,
        *parts: str,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        idempotent: bool = True,
    ) -> ViewT:
        """Send a request and parse the response; ``idempotent`` requests may be retried."""
        request = self._request(method, *parts, query=query, body=body, headers=headers)
        return _parse_response(kind, self._send(request, idempotent=idempotent))

    def _request(
        self,
        method: str,
        *parts: str,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Request:
        path = "/".join(
            quote(part, safe="", errors="replace").replace(".", "%2E") for part in parts
        )  # no path traversal
        content = None if body is None else _encode_body(body)
        return self._http.build_request(
            method,
            f"/api/{path}",
            params=_without_none(query or {}),
            content=content,
            headers={**({"Content-Type": "application/json"} if content else {}), **(headers or {})},
        )

    def _send(
        self,
        request: httpx2.Request,
        *,
        idempotent: bool = True,
        stream: bool = False,
        allowed_status: int | None = None,
    ) -> httpx2.Response:
        """Send a request, with retries; return the response if it succeeded or has the status ``allowed_status``."""
        deadline, pause = time.monotonic() + self.patience, MIN_RETRY_SECONDS
        while True:
            try:
                return self._attempt(request, stream, allowed_status)
            except _TemporaryError as temporary:
                wait = max(temporary.wait, pause * random.uniform(0.5, 1))  # noqa: S311  # nosec B311  # jitter
                if not (idempotent or temporary.not_executed) or time.monotonic() + wait > deadline:
                    raise StoreUnavailable(str(temporary)) from None
            time.sleep(wait)
            pause = min(2 * pause, MAX_RETRY_SECONDS)

    def _attempt(self, request: httpx2.Request, stream: bool, allowed_status: int | None) -> httpx2.Response:
        try:
            response = self._http.send(request, stream=stream)
            if stream and not response.is_success:
                response.read()
                response.close()
        except httpx2.RequestError as error:
            message = (
                f"the service must answer: got {_error_text(error)} from {self.url}. Is `seqnorm serve` running there?"
            )
            unconnected = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
            if unconnected and not self._reached:
                raise StoreUnavailable(message) from None
            self._reached = True
            raise _TemporaryError(message, not_executed=unconnected) from None
        self._reached = True
        if response.is_success or response.status_code == allowed_status:
            return response
        raise _to_error(response)

    def _download(self, request: httpx2.Request, file: BinaryIO) -> None:
        response = self._send(request, stream=True)
        try:
            for chunk in response.iter_bytes():
                file.write(chunk)
        except httpx2.RequestError as error:
            raise StoreUnavailable(
                f"a download must be complete: got {response.num_bytes_downloaded} bytes and then {_error_text(error)} "
                f"from {self.url}. Repeat it."
            ) from None
        finally:
            response.close()


class _TemporaryError(StoreUnavailable):
    """An error worth a retry; ``not_executed`` if the request certainly had no effect."""

    def __init__(self, message: str, *, not_executed: bool, wait: float = 0.0) -> None:
        super().__init__(message)
        self.not_executed = not_executed
        self.wait = wait


def is_loopback(url: str) -> bool:
    """Return whether a URL points to this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked_url(url: str) -> str:
    """Return the address of a service without a trailing slash.

    Raises:
        InvalidSpec: if it is not an HTTP address.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        httpx2.URL(url)
    except (ValueError, httpx2.InvalidURL):
        usable = None
    else:
        if "@" in parts.netloc:
            raise InvalidSpec(
                "the address of a service must hold no password: got one with an @. Give the token in SEQNORM_TOKEN."
            )
    if not usable or parts.query or parts.fragment:
        raise InvalidSpec(
            f"the address of a service must be http:// or https:// and a host: got {url!r}. "
            "Give e.g. http://127.0.0.1:8000."
        )
    return url.rstrip("/")


def _checked_token(token: str) -> str:
    """Return a token that fits into a header; the message does not quote an invalid one.

    Raises:
        InvalidSpec: if it does not fit into a header.
    """
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise InvalidSpec(
            f"a token must be printable ASCII without spaces: got {len(token)} characters, some of them others. "
            "Copy it again."
        )
    return token


def _encode_body(body: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(body, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidSpec(
            f"the body must consist of finite numbers, text, lists and objects: got {error}. Change that value."
        ) from None


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _parse_response(kind: type[ViewT], response: httpx2.Response) -> ViewT:
    return _parse_json(kind, response.text, response)


def _parse_json(kind: type[ViewT], text: str, response: httpx2.Response) -> ViewT:
    """Parse JSON as a view; unknown fields are ignored.

    Raises:
        StoreUnavailable: if it does not match the view.
    """
    try:
        return TypeAdapter(kind).validate_json(text)
    except ValidationError:
        raise _unexpected_response(response) from None


def _open_event_source(response: httpx2.Response) -> httpx2.EventSource:
    if not response.headers.get("content-type", "").startswith("text/event-stream"):
        raise _unexpected_response(response)
    return httpx2.EventSource(response)


def _to_error(response: httpx2.Response) -> SearchError:
    """Convert an error response to an exception."""
    try:
        detail = json.loads(response.text)["detail"]
    except (ValueError, RecursionError, TypeError, KeyError):
        detail = None
    status = response.status_code
    if status in (429, 503):
        got = f"{status} ({detail or 'no reason'}) from {_request_url(response)}"
        message = f"the service must not be busy: got {got}. Try again later."
        return _TemporaryError(message, not_executed=status == 429, wait=_retry_after(response))
    if not isinstance(detail, str) or response.is_redirect:
        return _unexpected_response(response)
    if status == 401:
        rule = detail.partition(". ")[0]
        return Denied(
            f"{rule}. Commands take one from SEQNORM_TOKEN. "
            "Create one at the service with: seqnorm token create NAME --owner OWNER"
        )
    if status in _ERROR_TYPES:
        return _ERROR_TYPES[status](detail)
    return StoreUnavailable(
        f"the service must succeed: got {status} ({detail}) from {_request_url(response)}. See its log."
    )


def _unexpected_response(response: httpx2.Response) -> StoreUnavailable:
    """Return the exception for a response that is not from a seqnorm service."""
    got = f"{response.status_code} {response.headers.get('content-type', 'of no type')}"
    if response.is_redirect:
        got = f"a redirect to {response.headers['location'][:200]!r}, which is not followed,"
    return StoreUnavailable(
        f"the address must be that of a seqnorm service: got {got} from {_request_url(response)}. "
        "Check --url or SEQNORM_URL."
    )


def _request_url(response: httpx2.Response) -> str:
    return str(response.request.url)


def _retry_after(response: httpx2.Response) -> float:
    try:
        return max(0.0, float(response.headers.get("retry-after", 0)))
    except ValueError:  # a date
        return 0.0


def _error_text(error: Exception) -> str:
    return str(error) or type(error).__name__
