"""Answers kept by version: what was made of a search is made anew only when something has happened to it."""

from __future__ import annotations

import gzip
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Annotated, TypeVar
from weakref import WeakValueDictionary

from fastapi import Depends, Request
from fastapi.responses import Response

from search.store import queries
from search.store.database import Connection
from search.views import SearchView, View
from service.database import Reading

MAX_BYTES = 32 * 2**20  # of answers kept in a process
EACH_BYTES = 500  # about what an answer takes beside itself and its key
Kind = TypeVar("Kind", bound=View)
MOMENT = 0.5  # seconds for which what changes without an event is kept


LEVEL = 5  # of compression, as that of all other answers


class JSONAnswer(Response):
    """An answer that is JSON, and packed, already."""

    media_type = "application/json"

    def __init__(self, packed: bytes, request: Request) -> None:
        takes_packed = "gzip" in request.headers.get("accept-encoding", "")
        headers = {"Vary": "Accept-Encoding"} | ({"Content-Encoding": "gzip"} if takes_packed else {})
        super().__init__(packed if takes_packed else gzip.decompress(packed), headers=headers)


class Answers:
    """The answers of a process, those that were asked for last, in so many bytes at the most."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[str, tuple[tuple[int, int], bytes]] = OrderedDict()
        self._lock = threading.Lock()
        self._making: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()  # one for each key

    def get(self, key: str, version: tuple[int, int], make: Callable[[], bytes]) -> bytes:
        """Return what was made for a key at this version or a later one; make it if there is none.

        Of several that ask at once one makes it, and the others wait. It may be made of other answers.
        """
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                found = self._kept.get(key)
                if found is not None and found[0] >= version:
                    self._kept.move_to_end(key)
                    return found[1]
            made = make()
            self._keep(key, version, made)
            return made

    def _keep(self, key: str, version: tuple[int, int], made: bytes) -> None:
        with self._lock:
            if before := self._kept.pop(key, None):
                self._bytes -= _size(key, before[1])
            self._kept[key] = version, made
            self._bytes += _size(key, made)
            while self._bytes > self._max_bytes:
                oldest, (_, answer) = self._kept.popitem(last=False)
                self._bytes -= _size(oldest, answer)


def _size(key: str, answer: bytes) -> int:
    return len(key) + len(answer) + EACH_BYTES


class Kept:
    """What one request reads of searches, from the answers that are kept where that will do."""

    def __init__(self, answers: Answers, store: Connection, request: Request) -> None:
        self.store = store
        self._answers = answers
        self._request = request

    def search(self, search_id: str) -> SearchView:
        """Return a search as `show_search` does."""
        return self.part(SearchView, search_id, lambda: queries.show_search(self.store, search_id))

    def part(self, kind: type[Kind], search_id: str, make: Callable[[], Kind]) -> Kind:
        """Return a view that is made of a search alone; there is one of its kind."""
        event, _ = queries.read_version(self.store, search_id)
        key = f"{kind.__name__} {search_id}"
        return kind.model_validate_json(self._answers.get(key, (event, 0), lambda: _written(make())))

    def answer(self, search_id: str, make: Callable[[], View], *, moves: bool = False) -> JSONAnswer:
        """Answer this request with what is made of a search.

        Args:
            search_id: whose events make it out of date.
            make: makes it.
            moves: it changes without an event while the search runs, with figures by epoch or with the clock, so it is
                made anew after a moment, however many look at it.
        """
        event, running = queries.read_version(self.store, search_id)
        moment = int(time.monotonic() / MOMENT) if moves and running else 0
        asked = f"{self._request.url.path}?{self._request.url.query}"
        packed = self._answers.get(asked, (event, moment), lambda: _packed(make()))
        return JSONAnswer(packed, self._request)


def _packed(value: View) -> bytes:
    return gzip.compress(_written(value), LEVEL, mtime=0)  # without the time the same is packed alike, and tagged so


def _written(value: View) -> bytes:
    return value.model_dump_json().encode()


def kept(request: Request, store: Reading) -> Kept:
    """Give a request what it may read through."""
    answers: Answers = request.app.state.answers
    return Kept(answers, store, request)


Keeping = Annotated[Kept, Depends(kept, scope="function")]
