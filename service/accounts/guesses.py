"""Slows sources that send wrong tokens, cookies or login codes."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from service.accounts.limits import RateLimiter
from service.accounts.tokens import hash_secret

MAX_KNOWN = 10_000
WRONG_SECONDS = 60.0  # for which a wrong credential is known to be wrong


class Guesses:
    """Counts wrong credentials by source. A source with too many must wait before another is looked at.

    Credentials that this process has accepted before pass meanwhile: the address may be that of a proxy, behind which
    others are. A wrong credential that is sent again is no new guess: a program with a revoked token slows nobody.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self._wrong = RateLimiter(per_minute, clock)
        self._clock = clock
        self._known: OrderedDict[str, tuple[bool, float]] = OrderedDict()  # by digest: whether it was right, and when
        self._lock = threading.Lock()

    def was_right(self, credential: str) -> bool | None:
        """Return whether a credential was right when it was last looked at; None if that is not known."""
        with self._lock:
            return self._recall(hash_secret(credential))

    def seconds_to_wait(self, source: str, credential: str) -> float:
        """Return for how long a credential of a source is not looked at; 0 if it is now."""
        return 0.0 if self.was_right(credential) else self._wrong.seconds_to_wait(source)

    def record(self, source: str, credential: str, *, right: bool) -> None:
        """Record that a credential was looked at."""
        digest = hash_secret(credential)
        with self._lock:
            before = self._recall(digest)
            self._known[digest] = right, self._clock()
            self._known.move_to_end(digest)
            if len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
        if not right and before is not False:
            self._wrong.acquire(source)

    def _recall(self, digest: str) -> bool | None:
        right, at = self._known.get(digest, (None, 0.0))
        return None if right is False and self._clock() - at > WRONG_SECONDS else right
