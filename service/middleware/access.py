"""Authentication and authorization: who makes a request, and what they may do."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from search.settings import Settings
from search.store.database import DatabaseError, PoolTimeout
from search.vocabulary.errors import Busy, Denied
from service import accounts
from service.accounts.guesses import Guesses
from service.accounts.limits import RateLimiter
from service.accounts.tokens import hash_secret
from service.admission import Admission, Lane
from service.database import Database
from service.middleware.gate import (
    COOKIE,
    is_public,
    is_upload,
    read_credential,
    refuse_guess,
    require_login,
    source_of,
)
from service.problems import database_detail, error_response, problem_response
from service.token_uses import TokenUses

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
CHECKING_PATHS = re.compile(r"/api/searches(/plan|/[^/]+/(resume|retry|widen))?")  # which may look at a data set


@dataclass(frozen=True)
class Caller:
    """Who makes a request."""

    token: accounts.Token
    by_cookie: bool  #: authenticated by a browser's session cookie, not by a bearer token

    @property
    def can_see_all(self) -> bool:
        """Whether the caller sees everybody's searches, not only their own."""
        return self.token.allows("read") or self.token.allows("manage")

    @property
    def only_owner(self) -> str | None:
        """The owner whose searches are all that the caller sees; None if the caller sees everybody's."""
        return None if self.can_see_all else self.token.owner

    def can_see(self, owner: str) -> bool:
        """Tell whether the caller sees the searches of an owner."""
        return owner == self.token.owner or self.can_see_all

    def can_change(self, owner: str) -> bool:
        """Tell whether the caller may change the searches of an owner."""
        return self.token.allows("manage") or (owner == self.token.owner and self.token.allows("submit"))


async def get_caller(request: Request) -> Caller:
    """Return who makes a request. Only for routes that are not public."""
    caller: Caller = request.state.caller
    return caller


CurrentCaller = Annotated[Caller, Depends(get_caller)]


def require_scope(*scopes: str) -> Callable[[Caller], Awaitable[Caller]]:
    """Return a dependency that requires a token with one of several scopes.

    Raises:
        Denied: for any other token.
    """

    async def check(caller: CurrentCaller) -> Caller:
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
    """Give a request a place to use the database, and identify its caller; refuse unknown and forged ones."""

    def __init__(
        self,
        app: ASGIApp,
        database: Database,
        admission: Admission,
        guesses: Guesses,
        token_uses: TokenUses,
        settings: Settings,
    ) -> None:
        self._app = app
        self._database = database
        self._admission = admission
        self._guesses = guesses
        self._token_uses = token_uses
        self._rate_limiter = RateLimiter(settings.requests_per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on with its caller."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        request = Request(scope, receive)
        if is_public(request.url.path) and not logs_in(request):
            return await self._app(scope, receive, send)
        try:
            async with self._admission.place(get_lane(request), self._get_turn(request)) as give_back:

                async def send_without_place(message: Message) -> None:
                    give_back()  # a route closes its connections before its response starts
                    await send(message)

                refusal = None if is_public(request.url.path) else await self._identify(request)
                if is_upload(scope):
                    give_back()  # the body is still to come; whoever sends it slowly holds no place
                await (refusal or self._app)(scope, receive, send_without_place)
        except Busy as error:
            await error_response(request, 503, str(error))(scope, receive, send)

    def _get_turn(self, request: Request) -> str:
        """Return by whom a request takes its turn: its credential, if that was right before, else its source."""
        credential = read_credential(request)
        if credential and self._guesses.was_right(credential.key):
            return hash_secret(credential.key)
        return source_of(request)

    async def _identify(self, request: Request) -> Response | None:
        """Identify the caller of a request; return what to respond if it is refused."""
        credential = read_credential(request)
        if credential is None:
            return require_login(request)
        if refusal := refuse_guess(self._guesses, request, credential.key):  # others guessed while this one waited
            return refusal
        try:
            caller = await run_in_threadpool(identify, self._database, request)
        except (DatabaseError, PoolTimeout) as fault:
            return error_response(request, 503, database_detail(fault))
        self._guesses.record(source_of(request), credential.key, right=caller is not None)
        if caller is None:
            return require_login(request)
        self._token_uses.add(caller.token)
        request.state.caller = caller
        return self._refuse(request, caller)

    def _refuse(self, request: Request, caller: Caller) -> Response | None:
        if caller.by_cookie and request.method not in SAFE_METHODS and not is_from_own_page(request):
            return problem_response(
                403,
                f"{other_site_detail(request)} Reload the dashboard, or send a bearer token.",
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


def get_lane(request: Request) -> Lane:
    """Return what a request needs a place for."""
    if request.method in SAFE_METHODS or is_upload(request.scope):
        return Lane.READ
    return Lane.CHECK if CHECKING_PATHS.fullmatch(request.url.path) else Lane.WRITE


def logs_in(request: Request) -> bool:
    """Tell whether a request needs the database although it is public."""
    return request.url.path == "/login" and request.method == "POST"


def identify(database: Database, request: Request) -> Caller | None:
    """Authenticate a request by its credential; return None if it has none that is valid."""
    credential = read_credential(request)
    if credential is None:
        return None
    authenticate = accounts.authenticate_session if credential.by_cookie else accounts.authenticate_token
    with database.read_engine.connect() as connection:
        token = authenticate(connection, credential.text)
    return Caller(token, by_cookie=credential.by_cookie) if token else None


def is_from_own_page(request: Request) -> bool:
    """Tell whether a script of this service's pages sent a request: other sites cannot set both headers like this."""
    headers = request.headers
    return "origin" in headers and "x-requested-with" in headers and not is_from_other_site(request)


def is_from_other_site(request: Request) -> bool:
    """Tell whether a browser sent a request from a page of another site: another scheme, host or port.

    Browsers send Origin with every POST, so a request without one is a program's. Behind a proxy with TLS the scheme is
    what the proxy says in X-Forwarded-Proto.
    """
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    return origin not in (None, get_origin(request)) or site not in (None, "same-origin", "none")


def other_site_detail(request: Request) -> str:
    """Return why a request of another site is refused: the rule, and what was received."""
    return (
        f"a change from a browser must come from a page of this service, {get_origin(request)}: got the origin "
        f"{request.headers.get('origin', 'none')!r}. Behind a proxy, have it keep Host and "
        "send X-Forwarded-Proto, and name its address in FORWARDED_ALLOW_IPS."
    )


def get_origin(request: Request) -> str:
    """Return the origin of this service's own pages, as the browser that sent a request sees it."""
    return f"{request.url.scheme}://{request.headers.get('host', '')}"


def is_secure(request: Request) -> bool:
    """Tell whether a request came over TLS, so that the cookie may be limited to TLS."""
    return request.url.scheme == "https"


def cookie_options(request: Request) -> dict[str, Any]:
    """Return the options of the session cookie."""
    return {"key": COOKIE, "httponly": True, "samesite": "strict", "secure": is_secure(request), "path": "/"}
