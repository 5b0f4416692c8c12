"""Count, time and log every request. This is the outermost middleware, so refused requests are included."""

from __future__ import annotations

import logging
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.middleware.metrics import Metrics

log = logging.getLogger("service.middleware.access")

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class AccessLogMiddleware:
    """Count and time every request; log each one if asked to."""

    def __init__(self, app: ASGIApp, metrics: Metrics, log_requests: bool) -> None:
        self._app = app
        self._metrics = metrics
        self._log_requests = log_requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; record its status and duration."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        status = 500  # stays so if the request raises

        async def send_and_note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        start = time.perf_counter()
        try:
            await self._app(scope, receive, send_and_note_status)
        finally:
            route, method, seconds = get_route(scope), get_method(scope), time.perf_counter() - start
            self._metrics.observe(route, method, status, seconds)
            if self._log_requests:
                fields = {"route": route, "method": method, "status": status, "ms": round(seconds * 1000, 1)}
                log.info("%s %s %s", method, route, status, extra=fields | _get_token_id(scope))


def _get_token_id(scope: Scope) -> dict[str, str]:
    """Return the id of a request's token as a log field; nothing if the request was not authenticated."""
    caller = scope.get("state", {}).get("caller")
    return {"token": caller.token.id} if caller else {}


def get_route(scope: Scope) -> str:
    """Return a request's route as a template, e.g. ``/api/searches/{id}``, never its path.

    It is ``none`` if no route matched, or if the request was refused before routing.
    """
    included: Any = scope.get("fastapi", {}).get("effective_route_context")  # its path includes the router's prefix
    route = included or scope.get("route")
    if route is not None:
        return str(route.path)
    return f"{scope['root_path']}/{{path}}" if "endpoint" in scope else "none"


def get_method(scope: Scope) -> str:
    """Return a request's method; ``other`` for one that is not in ``METHODS``."""
    method: str = scope["method"]
    return method if method in METHODS else "other"
