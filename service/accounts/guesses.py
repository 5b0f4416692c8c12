"""Slows sources that send wrong tokens, cookies or login codes."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from service.accounts.limits import RateLimiter
from service.accounts.tokens import hash_secret

MAX_KNOWN = 10_000


class Guesses:
    """Counts wrong credentials by source. A source with too many must wait before another is looked at.

    Credentials that this process accepted before pass meanwhile: one address may be that of a proxy, behind which
    others are.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._wrong = RateLimiter(per_minute, clock)
        self._known: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def seconds_to_wait(self, source: str, credential: str) -> float:
        """Return for how long a credential of a source is not looked at; 0 if it is now."""
        with self._lock:
            known = hash_secret(credential) in self._known
        return 0.0 if known else self._wrong.seconds_to_wait(source)

    def record(self, source: str, credential: str, *, right: bool) -> None:
        """Record that a credential was looked at."""
        digest = hash_secret(credential)
        with self._lock:
            self._known.pop(digest, None)
            if right:
                self._known[digest] = None
                if len(self._known) > MAX_KNOWN:
                    self._known.popitem(last=False)
        if not right:
            self._wrong.acquire(source)
