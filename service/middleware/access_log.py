"""Every request, measured and logged from outside of all that answers it."""

from __future__ import annotations

import logging
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.middleware.metrics import Metrics

log = logging.getLogger("service.middleware.access")

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Measured:
    """Middleware that measures every request, those that are turned away too, and may write a line of each."""

    def __init__(self, app: ASGIApp, metrics: Metrics, logs: bool) -> None:
        self._app = app
        self._metrics = metrics
        self._logs = logs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and tell how that went."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        status = 500  # what is answered to a request that raises

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        start = time.perf_counter()
        try:
            await self._app(scope, receive, noted)
        finally:
            route, method, seconds = route_of(scope), method_of(scope), time.perf_counter() - start
            self._metrics.observe(route, method, status, seconds)
            if self._logs:
                fields = {"route": route, "method": method, "status": status, "ms": round(seconds * 1000, 1)}
                log.info("%s %s %s", method, route, status, extra=fields | _token_of(scope))


def _token_of(scope: Scope) -> dict[str, str]:
    """Return the id of the token that a request came with, if it had one that counts."""
    caller = scope.get("state", {}).get("caller")
    return {"token": caller.token.id} if caller else {}


def route_of(scope: Scope) -> str:
    """Return the template of the path that was asked for, e.g. ``/api/searches/{id}``, never the path itself.

    It is ``none`` where no route is, and for a request that is turned away before it is routed.
    """
    included: Any = scope.get("fastapi", {}).get("effective_route_context")  # knows the prefix of its router
    route = included or scope.get("route")
    if route is not None:
        return str(route.path)
    return f"{scope['root_path']}/{{path}}" if "endpoint" in scope else "none"


def method_of(scope: Scope) -> str:
    """Return the method of a request; ``other`` for one that HTTP does not know."""
    method: str = scope["method"]
    return method if method in METHODS else "other"
