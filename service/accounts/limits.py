"""Limits: request rate of a token; priority, searches and trials of an owner."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from search.settings import Settings
from search.store import queries
from search.store.database import Connection, hold_transaction_lock
from search.vocabulary.errors import Conflict, Denied
from service.accounts import Token

MAX_BUCKETS = 10_000  # above this, the one that was used least recently is dropped


class RateLimiter:
    """A token bucket for each key, e.g. an API token. A full bucket holds one minute's requests; it refills evenly."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # requests left, and when that was counted

    def acquire(self, key: str) -> float:
        """Count a request; return 0 if it is allowed, else the seconds until the next one is."""
        if self.per_minute <= 0:
            return 0.0
        with self._lock:
            left, now = self._count(key)
            allowed = left >= 1
            self._buckets[key] = left - allowed, now
            self._buckets.move_to_end(key)
            if len(self._buckets) > MAX_BUCKETS:
                self._buckets.popitem(last=False)
            return 0.0 if allowed else (1 - left) * 60 / self.per_minute

    def seconds_to_wait(self, key: str) -> float:
        """Return what :meth:`acquire` would, without counting a request."""
        if self.per_minute <= 0:
            return 0.0
        with self._lock:
            return max(0.0, 1 - self._count(key)[0]) * 60 / self.per_minute

    def _count(self, key: str) -> tuple[float, float]:
        """Return how many requests are left to a key now, and the time."""
        now = self._clock()
        left, at = self._buckets.get(key, (float(self.per_minute), now))
        return min(float(self.per_minute), left + (now - at) * self.per_minute / 60), now


def require_priority(settings: Settings, token: Token, priority: int) -> None:
    """Refuse a priority above the configured maximum, unless the token has the scope ``manage``.

    Raises:
        Denied: if it is too high.
    """
    if priority > settings.max_priority and not token.allows("manage"):
        raise Denied(
            f"priority must be at most {settings.max_priority} for a token without the scope manage: got {priority}. "
            "Leave it out, or ask the operator (SEQNORM_MAX_PRIORITY)."
        )


def require_capacity(connection: Connection, settings: Settings, owner: str, trials: int) -> None:
    """Refuse a search that would exceed an owner's limit of active searches or trials.

    Raises:
        Conflict: if it would.
    """
    hold_transaction_lock(
        connection, f"room of {owner}"
    )  # else two requests could both count before either adds its search
    active_searches, active_trials = queries.count_active(connection, owner)
    for name, unit, active, more in (
        ("waiting_searches", "searches", active_searches, 1),
        ("waiting_trials", "trials", active_trials, trials),
    ):
        limit = getattr(settings, name)
        if limit and active + more > limit:
            raise Conflict(
                f"an owner may have {limit} queued or running {unit}: got {more} more beside {active}. "
                "Wait until some end, cancel some, or ask the operator "
                f"(SEQNORM_{name.upper()})."
            )
