"""Who asks, and what they may do. Nothing but ``PUBLIC`` is answered to strangers, whatever routes there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

from fastapi import Depends, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from search.settings import Settings
from search.store.database import DatabaseError
from search.vocabulary.errors import Denied
from service import accounts
from service.accounts.limits import Rate
from service.database import Stores
from service.middleware.loopback import LOOPBACK, is_loopback
from service.problems import NO_DATABASE, log_fault, problem

COOKIE = "seqnorm_session"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
HEALTH = ("/healthz", "/readyz")  # asked by whoever keeps the service running, by whichever name it has there
PUBLIC = (*HEALTH, "/login", "/plotly.js", "/static/")


@dataclass(frozen=True)
class Caller:
    """Who makes a request."""

    token: accounts.Token
    by_cookie: bool  #: in a browser's session

    def sees(self, owner: str) -> bool:
        """Tell whether somebody's searches are shown: one's own always, everybody's to those who may read."""
        return owner == self.token.owner or self.token.allows("read") or self.token.allows("manage")

    def changes(self, owner: str) -> bool:
        """Tell whether somebody's searches may be steered: one's own, or everybody's by those who manage."""
        return self.token.allows("manage") or (owner == self.token.owner and self.token.allows("submit"))


def caller_of(request: Request) -> Caller:
    """Return who makes a request; a route that strangers reach has none."""
    caller: Caller = request.state.caller
    return caller


Known = Annotated[Caller, Depends(caller_of)]


def require(*scopes: str) -> Callable[[Caller], Caller]:
    """Return the dependency that lets only tokens with one of some scopes pass.

    Raises:
        Denied: for any other.
    """

    def check(caller: Known) -> Caller:
        if not any(caller.token.allows(scope) for scope in scopes):
            raise Denied(
                f"this needs a token with the scope {' or '.join(scopes)}: got one with "
                f"{', '.join(caller.token.scopes)}. Ask an admin of this service."
            )
        return caller

    check.scopes = scopes  # type: ignore[attr-defined]  # a test asks every route for it
    return check


looks = Depends(require("read", "submit", "manage"))
administers = Depends(require("admin"))


class Access:
    """Middleware that finds out who asks before anything else is done, and turns strangers and forgers away."""

    def __init__(self, app: ASGIApp, stores: Stores, settings: Settings) -> None:
        self._app = app
        self._stores = stores
        self._rate = Rate(settings.requests_per_minute)
        self._hosts = allowed_hosts(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on with its caller."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        request = Request(scope, receive)
        if self._hosts and request.url.path not in HEALTH and host_of(request) not in self._hosts:
            return await _elsewhere(request, self._hosts)(scope, receive, send)
        if is_public(request.url.path):
            return await self._app(scope, receive, send)
        try:
            caller = await run_in_threadpool(identify, self._stores, request)
        except DatabaseError as fault:
            log_fault(fault)
            return await problem(503, NO_DATABASE)(scope, receive, send)
        refusal = self._refuse(request, caller)
        if refusal is not None:
            return await refusal(scope, receive, send)
        request.state.caller = caller
        await self._app(scope, receive, send)

    def _refuse(self, request: Request, caller: Caller | None) -> Response | None:
        if caller is None:
            return _turn_away(request)
        if caller.by_cookie and request.method not in SAFE_METHODS and not from_own_page(request):
            return problem(
                403,
                "a change from a browser must come from a page of this service: got the origin "
                f"{request.headers.get('origin', 'none')!r}. Open the dashboard anew, or send a bearer token.",
            )
        wait = self._rate.wait_of(caller.token.id)
        if wait:
            seconds = str(round(wait + 0.5))
            detail = f"a token may make {self._rate.per_minute} requests a minute: got more. Wait {seconds} s."
            answer: Response = problem(429, detail)
            answer.headers["Retry-After"] = seconds
            return answer
        return None


def identify(stores: Stores, request: Request) -> Caller | None:
    """Find out who makes a request, from its token or its session; None for strangers."""
    kind, _, text = request.headers.get("authorization", "").partition(" ")
    with stores.reading.connect() as connection:
        if kind:
            found = accounts.token_of(connection, text.strip()) if kind.lower() == "bearer" else None
        else:
            cookie = request.cookies.get(COOKIE)
            found = accounts.session_of(connection, cookie) if cookie else None
    if found is not None and found.touch_due:
        with stores.write() as connection:
            accounts.touch(connection, found)
    return Caller(found, by_cookie=not kind) if found else None


def is_public(path: str) -> bool:
    """Tell whether strangers may ask for a path."""
    return any(path == public or (public.endswith("/") and path.startswith(public)) for public in PUBLIC)


def from_own_page(request: Request) -> bool:
    """Tell whether a script of our own pages sent a request: other sites can set neither of the two headers so."""
    origin = urlsplit(request.headers.get("origin", "")).netloc
    return origin == request.headers.get("host") and "x-requested-with" in request.headers


def allowed_hosts(settings: Settings) -> list[str]:
    """Return the names under which the service answers; nothing for any.

    On loopback these are its own alone, so that a page elsewhere cannot reach it under a name that it made lead here.
    """
    named = [host.strip() for host in settings.hosts.split(",") if host.strip()]
    return named or ([settings.host, *LOOPBACK] if is_loopback(settings.host) else [])


def host_of(request: Request) -> str | None:
    """Return the name under which a request reached us, without the port."""
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname
    except ValueError:
        return None


def _elsewhere(request: Request, hosts: list[str]) -> Response:
    got = request.headers.get("host", "none")
    return problem(
        421, f"a request must name this service as its host: got {got!r}. Use {hosts[0]}, or set SEQNORM_HOSTS."
    )


def _turn_away(request: Request) -> Response:
    if "text/html" in request.headers.get("accept", "") and request.method == "GET":
        asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?next={quote(asked, safe='')}", 303)
    answer: Response = problem(
        401,
        "this needs a token: got none that is known, unexpired and unrevoked. "
        "Send Authorization: Bearer TOKEN; make one with: seqnorm token create",
    )
    answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def secure(request: Request) -> bool:
    """Tell whether a browser reached us over TLS, so that the cookie may be kept to it."""
    return request.url.scheme == "https"


def cookie_options(request: Request) -> dict[str, Any]:
    """Return how the session's cookie is set."""
    return {"key": COOKIE, "httponly": True, "samesite": "strict", "secure": secure(request), "path": "/"}
