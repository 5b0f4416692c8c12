"""Cache responses by version: what is computed from a search is computed again only after the search's next event."""

from __future__ import annotations

import gzip
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Annotated, TypeVar
from weakref import WeakValueDictionary

from fastapi import Depends, Request
from fastapi.responses import Response

from search.store import queries
from search.store.database import Connection
from search.views import SearchView, View
from service.database import LaterConnection
from service.middleware.access import CurrentCaller
from service.route import Later

MAX_BYTES = 32 * 2**20  # of cached responses in a process
ENTRY_OVERHEAD_BYTES = 500  # about what an entry takes in addition to its key and its response
LIVE_SECONDS = 0.5  # for how long a response that changes without an event is cached
GZIP_LEVEL = 5  # for cached responses and for all others

ViewType = TypeVar("ViewType", bound=View)
Version = tuple[int, int]  #: newest event of the search; for live views, number of the LIVE_SECONDS interval, else 0


class GzippedJSONResponse(Response):
    """A response from gzipped JSON; it is unzipped only for a client that does not accept gzip."""

    media_type = "application/json"

    def __init__(self, gzipped: bytes, request: Request) -> None:
        accepts_gzip = "gzip" in request.headers.get("accept-encoding", "")
        headers = {"Vary": "Accept-Encoding"} | ({"Content-Encoding": "gzip"} if accepts_gzip else {})
        super().__init__(gzipped if accepts_gzip else gzip.decompress(gzipped), headers=headers)


class ResponseCache:
    """The responses that a process has cached: the most recently used ones, up to a number of bytes."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[str, tuple[Version, bytes]] = OrderedDict()
        self._lock = threading.Lock()
        self._key_locks: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()

    def get(self, key: str, version: Version, compute: Callable[[], bytes]) -> bytes:
        """Return what is cached for a key at this version or a later one; compute and cache it if nothing is.

        Of several threads that ask for the same key, one computes and the others wait. ``compute`` may read other keys.
        """
        with self._lock:
            key_lock = self._key_locks.setdefault(key, threading.Lock())
        with key_lock:
            with self._lock:
                found = self._entries.get(key)
                if found is not None and found[0] >= version:
                    self._entries.move_to_end(key)
                    return found[1]
            computed = compute()
            self._put(key, version, computed)
            return computed

    def _put(self, key: str, version: Version, content: bytes) -> None:
        with self._lock:
            if replaced := self._entries.pop(key, None):
                self._bytes -= _entry_size(key, replaced[1])
            self._entries[key] = version, content
            self._bytes += _entry_size(key, content)
            while self._bytes > self._max_bytes:
                evicted_key, (_, evicted) = self._entries.popitem(last=False)
                self._bytes -= _entry_size(evicted_key, evicted)


def _entry_size(key: str, content: bytes) -> int:
    return len(key) + len(content) + ENTRY_OVERHEAD_BYTES


class CachedReader:
    """Reads searches for one request, from the cache where it is current.

    What only an owner may see of a search is cached beside what others see of it: it has fewer ids of children.
    """

    def __init__(
        self, cache: ResponseCache, connection: Connection, request: Request, owner: str | None = None
    ) -> None:
        self.connection = connection
        self._cache = cache
        self._request = request
        self._owner = owner  #: whose searches are all that the caller sees; None if everybody's
        self._variant = " own" if owner is not None else ""

    def search(self, search_id: str) -> SearchView:
        """Return a search as `show_search` does."""
        return self.view(SearchView, search_id, lambda: queries.show_search(self.connection, search_id, self._owner))

    def view(self, kind: type[ViewType], search_id: str, compute: Callable[[], ViewType]) -> ViewType:
        """Return a view that depends on a search alone. There is one of each kind for a search."""
        event, _ = queries.read_version(self.connection, search_id)
        key = f"{kind.__name__} {search_id}{self._variant}"
        return kind.model_validate_json(self._cache.get(key, (event, 0), lambda: _to_json(compute())))

    def respond(
        self, search_id: str, compute: Callable[[], View], *, live: bool = False, progress: bool = False
    ) -> GzippedJSONResponse:
        """Respond to this request with a view of a search.

        Args:
            search_id: whose next event makes the response out of date.
            compute: computes the view.
            live: the view changes without an event while the search runs, by new metrics or by the clock. It is then
                computed at most once in ``LIVE_SECONDS``, however many clients ask.
            progress: the view tells how far running trials are, so an event of progress makes it out of date too.
        """
        event, running = queries.read_version(self.connection, search_id, progress=progress)
        return self._respond((event, int(time.monotonic() / LIVE_SECONDS) if live and running else 0), compute)

    def respond_together(
        self, search_ids: Iterable[str], compute: Callable[[], View], *, progress: bool = False
    ) -> GzippedJSONResponse:
        """Respond to this request with a view of several searches; the next event of any makes it out of date.

        ``progress`` is as in :meth:`respond`.
        """
        newest = max(queries.read_version(self.connection, each, progress=progress)[0] for each in search_ids)
        return self._respond((newest, 0), compute)

    def _respond(self, version: Version, compute: Callable[[], View]) -> GzippedJSONResponse:
        key = f"{self._request.url.path}?{self._request.url.query}{self._variant}"
        gzipped = self._cache.get(key, version, lambda: _compress(compute()))
        return GzippedJSONResponse(gzipped, self._request)


def _compress(view: View) -> bytes:
    return gzip.compress(_to_json(view), GZIP_LEVEL, mtime=0)  # no time: equal content gets an equal entity tag


def _to_json(view: View) -> bytes:
    return view.model_dump_json().encode()


async def get_cached_reader(
    request: Request, connection: LaterConnection, caller: CurrentCaller
) -> Later[CachedReader]:
    """Return a request's reader of cached searches."""
    cache: ResponseCache = request.app.state.response_cache
    return Later(lambda stack: CachedReader(cache, connection.get(stack), request, caller.only_owner))


CachedReads = Annotated[CachedReader, Depends(get_cached_reader)]
