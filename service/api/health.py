"""Whether the service lives, and whether it can do its work. Strangers may ask; they learn no more than that."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from fastapi import APIRouter, Response

from search.settings import Settings
from search.store import workers
from search.store.database import DatabaseError, check_connection
from search.store.schema import is_current
from search.views import HealthView, ReadinessView
from service.database import Configured, Reading, Store, Stores

router = APIRouter()
CONNECT_SECONDS = 1.0


@router.get("/healthz")
def healthz(store: Reading) -> HealthView:
    """Say whether the service answers, and its database too."""
    check_connection(store)
    return HealthView(status="ok")


@router.get(
    "/readyz", responses={503: {"description": "Something that searches need is not there", "model": ReadinessView}}
)
def readyz(stores: Store, settings: Configured, response: Response) -> ReadinessView:
    """Say of each part that searches need whether it is there; 503 if one is not."""
    parts = ReadinessView(**_of_database(stores), ray=_ray(settings))
    if not parts.ready:
        response.status_code = 503
    return parts


def _of_database(stores: Stores) -> dict[str, str]:
    try:
        with stores.reading.connect() as connection:
            count = len(workers.list_alive(connection))
        current = is_current(stores.reading)
    except DatabaseError:
        return {"database": "does not answer", "migrations": "unknown", "worker": "unknown"}
    return {
        "database": "ok",
        "migrations": "ok" if current else "missing: run seqnorm db upgrade, or a newer seqnorm",
        "worker": f"ok: {count}" if count else "none: start one with seqnorm worker",
    }


def _ray(settings: Settings) -> str:
    if not settings.ray_address or settings.ray_address in ("auto", "local"):
        return "ok: a private one starts with each search" if settings.worker else "ok: a matter of the workers"
    where = urlsplit(settings.ray_address if "://" in settings.ray_address else f"//{settings.ray_address}")
    try:
        with socket.create_connection((where.hostname or "", where.port or 6379), CONNECT_SECONDS):
            return "ok"
    except (OSError, ValueError):
        return "does not answer"
