"""Authentication and authorization. Without a token or a session, only ``PUBLIC_PATHS`` are served."""

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
from search.store.database import DatabaseError, PoolTimeout
from search.vocabulary.errors import Denied
from service import accounts
from service.accounts.limits import RateLimiter
from service.database import Database
from service.middleware.loopback import LOOPBACK, is_loopback
from service.problems import database_detail, error_response, problem_response
from service.token_uses import TokenUses

COOKIE = "seqnorm_session"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
HEALTH_PATHS = ("/healthz", "/readyz")  # monitoring may ask for them under any host name
PUBLIC_PATHS = (*HEALTH_PATHS, "/login", "/plotly.js", "/static/")


@dataclass(frozen=True)
class Caller:
    """Who makes a request."""

    token: accounts.Token
    by_cookie: bool  #: authenticated by a browser's session cookie, not by a bearer token

    @property
    def can_see_all(self) -> bool:
        """Whether the caller sees everybody's searches, not only their own."""
        return self.token.allows("read") or self.token.allows("manage")

    def can_see(self, owner: str) -> bool:
        """Tell whether the caller sees the searches of an owner."""
        return owner == self.token.owner or self.can_see_all

    def can_change(self, owner: str) -> bool:
        """Tell whether the caller may change the searches of an owner."""
        return self.token.allows("manage") or (owner == self.token.owner and self.token.allows("submit"))


def get_caller(request: Request) -> Caller:
    """Return who makes a request. Only for routes that are not public."""
    caller: Caller = request.state.caller
    return caller


CurrentCaller = Annotated[Caller, Depends(get_caller)]


def require_scope(*scopes: str) -> Callable[[Caller], Caller]:
    """Return a dependency that requires a token with one of several scopes.

    Raises:
        Denied: for any other token.
    """

    def check(caller: CurrentCaller) -> Caller:
        if not any(caller.token.allows(scope) for scope in scopes):
            raise Denied(
                f"this needs a token with the scope {' or '.join(scopes)}: got one with "
                f"{', '.join(caller.token.scopes)}. Ask an admin of this service."
            )
        return caller

    return check


can_read = Depends(require_scope("read", "submit", "manage"))
is_admin = Depends(require_scope("admin"))


class AccessMiddleware:
    """Identify the caller of every request; refuse unknown callers, forged requests and too many requests."""

    def __init__(self, app: ASGIApp, database: Database, token_uses: TokenUses, settings: Settings) -> None:
        self._app = app
        self._database = database
        self._token_uses = token_uses
        self._rate_limiter = RateLimiter(settings.requests_per_minute)
        self._hosts = allowed_hosts(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on with its caller."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        request = Request(scope, receive)
        if self._hosts and request.url.path not in HEALTH_PATHS and get_host(request) not in self._hosts:
            return await _refuse_host(request, self._hosts)(scope, receive, send)
        if is_public(request.url.path):
            return await self._app(scope, receive, send)
        try:
            caller = await run_in_threadpool(identify, self._database, request)
        except (DatabaseError, PoolTimeout) as fault:
            return await error_response(request, 503, database_detail(fault))(scope, receive, send)
        if caller is not None:
            self._token_uses.add(caller.token)
        refusal = self._refuse(request, caller)
        if refusal is not None:
            return await refusal(scope, receive, send)
        request.state.caller = caller
        await self._app(scope, receive, send)

    def _refuse(self, request: Request, caller: Caller | None) -> Response | None:
        if caller is None:
            return _require_login(request)
        if caller.by_cookie and request.method not in SAFE_METHODS and not is_from_own_page(request):
            return problem_response(
                403,
                "a change from a browser must come from a page of this service: got the origin "
                f"{request.headers.get('origin', 'none')!r}. Reload the dashboard, or send a bearer token.",
            )
        wait = self._rate_limiter.acquire(caller.token.id)
        if wait:
            seconds = str(round(wait + 0.5))
            limit = self._rate_limiter.per_minute
            response: Response = problem_response(
                429, f"a token may make {limit} requests a minute: got more. Wait {seconds} s."
            )
            response.headers["Retry-After"] = seconds
            return response
        return None


def identify(database: Database, request: Request) -> Caller | None:
    """Authenticate a request by its bearer token or its session cookie; return None if neither is valid."""
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    with database.read_engine.connect() as connection:
        if scheme:
            token = accounts.authenticate_token(connection, text.strip()) if scheme.lower() == "bearer" else None
        else:
            cookie = request.cookies.get(COOKIE)
            token = accounts.authenticate_session(connection, cookie) if cookie else None
    return Caller(token, by_cookie=not scheme) if token else None


def is_public(path: str) -> bool:
    """Tell whether a path needs no authentication."""
    return any(path == public or (public.endswith("/") and path.startswith(public)) for public in PUBLIC_PATHS)


def is_from_own_page(request: Request) -> bool:
    """Tell whether a script of this service's pages sent a request: other sites cannot set both headers like this."""
    origin = urlsplit(request.headers.get("origin", "")).netloc
    return origin == request.headers.get("host") and "x-requested-with" in request.headers


def allowed_hosts(settings: Settings) -> list[str]:
    """Return the host names under which the service responds; an empty list allows any.

    On loopback only its own names are allowed. This stops DNS rebinding: another site that points its own host name at
    this machine.
    """
    named = [host.strip() for host in settings.hosts.split(",") if host.strip()]
    return named or ([settings.host, *LOOPBACK] if is_loopback(settings.host) else [])


def get_host(request: Request) -> str | None:
    """Return the host name that a request was sent to, without the port."""
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname
    except ValueError:
        return None


def _refuse_host(request: Request, hosts: list[str]) -> Response:
    got = request.headers.get("host", "none")
    return problem_response(
        421, f"a request must name this service as its host: got {got!r}. Use {hosts[0]}, or set SEQNORM_HOSTS."
    )


def _require_login(request: Request) -> Response:
    if "text/html" in request.headers.get("accept", "") and request.method == "GET":
        requested = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?next={quote(requested, safe='')}", 303)
    response: Response = problem_response(
        401,
        "this needs a token: got none that is known, unexpired and unrevoked. "
        "Send Authorization: Bearer TOKEN; create one with: seqnorm token create",
    )
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


def is_secure(request: Request) -> bool:
    """Tell whether a request came over TLS, so that the cookie may be limited to TLS."""
    return request.url.scheme == "https"


def cookie_options(request: Request) -> dict[str, Any]:
    """Return the options of the session cookie."""
    return {"key": COOKIE, "httponly": True, "samesite": "strict", "secure": is_secure(request), "path": "/"}
