"""The engines of services that outlive a test."""

from __future__ import annotations

from weakref import WeakSet

from sqlalchemy import Engine

LASTING: WeakSet[Engine] = WeakSet()  #: not closed after each test: a pool that is left in use is never closed
