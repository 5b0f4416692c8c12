"""Liveness and readiness for monitoring. Both are public, so they reveal nothing more."""

from __future__ import annotations

import asyncio
import socket
import time
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from search.settings import Settings
from search.store import workers
from search.store.database import DatabaseError, PoolTimeout
from search.store.schema import is_current
from search.views import HealthView, ReadinessView
from service.database import Database
from service.problems import RETRY_SECONDS

router = APIRouter()
CONNECT_SECONDS = 1.0
CHECK_SECONDS = 1.0


@router.get("/healthz")
async def healthz() -> HealthView:
    """Check that the service responds. It needs neither a database nor a thread, so it does however busy these are."""
    return HealthView(status="ok")


@router.get("/readyz", responses={503: {"description": "A part that searches need is missing", "model": ReadinessView}})
async def readyz(request: Request, response: Response) -> ReadinessView:
    """Check each part that searches need; 503 if one is missing. However many ask, each is checked once a second."""
    check: ReadinessCheck = request.app.state.readiness_check
    readiness = await check.read()
    if not readiness.ready:
        response.status_code = 503
        response.headers["Retry-After"] = str(RETRY_SECONDS)
    return readiness


class ReadinessCheck:
    """Checks the parts that searches need, at most once in ``CHECK_SECONDS``."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._lock = asyncio.Lock()
        self._readiness: ReadinessView | None = None
        self._checked = 0.0

    async def read(self) -> ReadinessView:
        """Return what was found, by this request or a moment ago."""
        async with self._lock:
            if self._readiness is None or time.monotonic() - self._checked > CHECK_SECONDS:
                self._readiness = await run_in_threadpool(self._check)
                self._checked = time.monotonic()
            return self._readiness

    def _check(self) -> ReadinessView:
        return ReadinessView(**_check_database(self._database), ray=_check_ray(self._settings))


def _check_database(database: Database) -> dict[str, str]:
    try:
        with database.read_engine.connect() as connection:
            count = len(workers.list_alive(connection))
        current = is_current(database.read_engine)
    except (DatabaseError, PoolTimeout):
        return {"database": "does not answer", "migrations": "unknown", "worker": "unknown"}
    return {
        "database": "ok",
        "migrations": "ok" if current else "missing: run seqnorm db upgrade, or a newer seqnorm",
        "worker": f"ok: {count}" if count else "none: start one with seqnorm worker",
    }


def _check_ray(settings: Settings) -> str:
    if not settings.ray_address or settings.ray_address in ("auto", "local"):
        return "ok: a private one starts with each search" if settings.worker else "ok: a matter of the workers"
    address = urlsplit(settings.ray_address if "://" in settings.ray_address else f"//{settings.ray_address}")
    try:
        with socket.create_connection((address.hostname or "", address.port or 6379), CONNECT_SECONDS):
            return "ok"
    except (OSError, ValueError):
        return "does not answer"
