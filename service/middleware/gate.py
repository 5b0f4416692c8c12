"""The gate: refuses, without a look at the database, what cannot be served whoever asks."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from fastapi import Request
from fastapi.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from search.settings import Settings
from service.accounts.guesses import Guesses
from service.middleware.loopback import LOOPBACK, is_loopback
from service.problems import error_response, problem_response
from service.source import get_source
from service.wording import in_words_of, place_of

COOKIE = "seqnorm_session"
TOKEN_KIND, COOKIE_KIND, LINK_KIND = "token", "cookie", "link"
HEALTH_PATHS = ("/healthz", "/readyz")  # monitoring may ask for them under any host name
UPLOAD_PATH = "/api/data"
PUBLIC_PATHS = (*HEALTH_PATHS, "/login", "/plotly.js", "/static/")


@dataclass(frozen=True)
class Credential:
    """What a request shows to prove who makes it; not checked yet."""

    text: str
    by_cookie: bool  #: a browser's session cookie, not a bearer token

    @property
    def key(self) -> str:
        """What guesses are counted by: a token that is sent as a cookie is wrong as a cookie alone."""
        return f"{COOKIE_KIND if self.by_cookie else TOKEN_KIND} {self.text}"


class GateMiddleware:
    """Refuse unknown hosts, requests without a credential, and sources that keep sending wrong ones."""

    def __init__(self, app: ASGIApp, guesses: Guesses, settings: Settings) -> None:
        self._app = app
        self._guesses = guesses
        self._hosts = allowed_hosts(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on."""
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})
        refusal = self._refuse(Request(scope)) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    def _refuse(self, request: Request) -> Response | None:
        path = request.url.path
        if self._hosts and path not in HEALTH_PATHS and get_host(request) not in self._hosts:
            return _refuse_host(request, self._hosts)
        if is_public(path):
            return None
        credential = read_credential(request)
        if credential is None:
            return require_login(request)
        if self._guesses.was_right(credential.key) is False:
            return require_login(request)
        return refuse_guess(self._guesses, request, credential.key)


def read_credential(request: Request) -> Credential | None:
    """Return the bearer token or the session cookie of a request; None if it has neither."""
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    if scheme:
        return Credential(text.strip(), by_cookie=False) if scheme.lower() == "bearer" else None
    cookie = request.cookies.get(COOKIE)
    return Credential(cookie, by_cookie=True) if cookie else None


def source_of(request: Request) -> str:
    """Return where a request comes from."""
    return get_source(request.client.host if request.client else None)


def is_public(path: str) -> bool:
    """Tell whether a path needs no authentication."""
    return any(path == public or (public.endswith("/") and path.startswith(public)) for public in PUBLIC_PATHS)


def is_upload(scope: Scope) -> bool:
    """Tell whether a request's route reads its body by itself, once the caller is known."""
    return (scope["method"], scope["path"]) == ("POST", UPLOAD_PATH)


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


def asks_for_page(request: Request) -> bool:
    """Tell whether a browser asks for a page."""
    return "text/html" in request.headers.get("accept", "") and request.method == "GET"


def require_login(request: Request) -> Response:
    """Send a browser to the login page; refuse others."""
    if asks_for_page(request):
        requested = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?next={quote(requested, safe='')}", 303)
    detail = (
        "this needs a token: got none that is known, unexpired and unrevoked. "
        "Send Authorization: Bearer TOKEN; create one with: seqnorm token create NAME --owner OWNER"
    )
    response: Response = problem_response(401, in_words_of(place_of(request), detail))
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


def refuse_guess(guesses: Guesses, request: Request, credential: str) -> Response | None:
    """Refuse to look at one more credential of a source that has sent too many wrong ones."""
    seconds = guesses.seconds_to_wait(source_of(request), credential)
    if not seconds:
        return None
    if asks_for_page(request) and not is_public(request.url.path):
        return require_login(request)
    wait = str(round(seconds + 0.5))
    response = error_response(
        request,
        429,
        f"an address may send {guesses.per_minute} wrong tokens a minute: got more. Wait {wait} s; tokens that were "
        "right before still work.",
    )
    response.headers["Retry-After"] = wait
    return response


def _refuse_host(request: Request, hosts: list[str]) -> Response:
    got = request.headers.get("host", "none")
    return problem_response(
        421, f"a request must name this service as its host: got {got!r}. Use {hosts[0]}, or set SEQNORM_HOSTS."
    )
