"""Log a browser in, with a token or a login link, and out.

A link shows a button and logs in by a POST of this page alone: another site that leads a browser to a link, or sends it
a form, could otherwise have a person work in somebody else's name. It also keeps previews from using up the link.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import RedirectResponse, Response

from search.store.database import Connection
from search.vocabulary.errors import Denied, InvalidSpec
from search.vocabulary.states import Action
from service import accounts
from service.accounts.guesses import Guesses
from service.database import AppDatabase, Database
from service.middleware.access import can_read, cookie_options, is_from_other_site, other_site_detail
from service.middleware.gate import COOKIE, LINK_KIND, TOKEN_KIND, Credential, refuse_guess, source_of
from service.rendering import render_page

router = APIRouter(include_in_schema=False)
MAX_FIELDS = 10  # of the form
SESSION_SECONDS = 30 * 24 * 3600.0
REFUSED_LOGIN = "This token is unknown, expired or revoked."
REFUSED_LINK = "This link was used before, or is older than ten minutes. The service prints a new one when it starts."


@dataclass(frozen=True)
class LoginMethod:
    """How a browser shows that it may log in."""

    name: str
    is_right: Callable[[Connection, str], object]  # writes nothing
    redeem: Callable[[Connection, str], accounts.Token | None]
    refusal: str


TOKEN = LoginMethod(TOKEN_KIND, accounts.authenticate_token, accounts.authenticate_token, REFUSED_LOGIN)
LINK = LoginMethod(LINK_KIND, accounts.is_login_link, accounts.redeem_login_link, REFUSED_LINK)


async def get_guesses(request: Request) -> Guesses:
    """Return the application's count of wrong credentials."""
    guesses: Guesses = request.app.state.guesses
    return guesses


AppGuesses = Annotated[Guesses, Depends(get_guesses)]


@router.get("/login")
def login_page(request: Request, code: Annotated[str, Query(max_length=200)] = "", next: str = "/") -> Response:
    """Show the login form; with the code of a login link, a button that uses it."""
    return _render(request, next, code=code)


async def read_form(request: Request) -> dict[str, str]:
    """Read the fields of a form; of a repeated field, the first one.

    Raises:
        InvalidSpec: if there are more than a login form has.
    """
    try:
        fields = parse_qs((await request.body()).decode(errors="replace"), max_num_fields=MAX_FIELDS)
    except ValueError:
        raise InvalidSpec(
            f"a login form must have at most {MAX_FIELDS} fields: got more. Send token and next."
        ) from None
    return {name: values[0] for name, values in fields.items()}


async def require_own_page(request: Request) -> None:
    """Refuse a form that a page of another site sends. Programs send no origin, and may log in with a token.

    Raises:
        Denied: if it does.
    """
    if is_from_other_site(request):
        raise Denied(f"{other_site_detail(request)} Open the dashboard and log in there.")


@router.post("/login", dependencies=[Depends(require_own_page)])
def log_in(
    request: Request,
    database: AppDatabase,
    guesses: AppGuesses,
    form: Annotated[dict[str, str], Depends(read_form)],
) -> Response:
    """Log in with a token, or with the code of a login link: open a session."""
    method, credential = (LINK, form["code"]) if "code" in form else (TOKEN, form.get("token", "").strip())
    return _start_session(request, database, guesses, method, credential, form.get("next", "/"))


@router.post("/logout", dependencies=[can_read])
def log_out(request: Request, database: AppDatabase) -> Response:
    """Log out: end the session."""
    with database.write() as connection:
        accounts.close_session(connection, request.cookies.get(COOKIE, ""))
    response = Response(status_code=204)
    response.delete_cookie(**cookie_options(request))
    return response


def _start_session(
    request: Request, database: Database, guesses: Guesses, method: LoginMethod, credential: str, next: str
) -> Response:
    """Open a session if the credential is right. One that is not takes no write lock."""
    source = source_of(request)
    key = f"{method.name} {credential}"
    if refusal := refuse_guess(guesses, request, key):
        return refusal
    with database.read_engine.connect() as connection:
        right = method.is_right(connection, credential)
    cookie = _open_session(database, method, credential) if right else None
    guesses.record(source, key, right=cookie is not None)
    if cookie is None:
        return _render(request, next, 403, message=method.refusal)
    guesses.record(source, Credential(cookie, by_cookie=True).key, right=True)
    response = RedirectResponse(local_path(next), 303)
    response.set_cookie(value=cookie, max_age=int(SESSION_SECONDS), **cookie_options(request))
    return response


def _open_session(database: Database, method: LoginMethod, credential: str) -> str | None:
    with database.write() as connection:
        token = method.redeem(connection, credential)
        if token is None:
            return None
        accounts.delete_expired(connection)
        accounts.record_action(connection, token, Action.LOG_IN, token.id, {"with": method.name})
        return accounts.open_session(connection, token, SESSION_SECONDS)


def _render(request: Request, next: str, status: int = 200, *, code: str = "", message: str = "") -> Response:
    page = render_page(request, "login.html", status, next=local_path(next), code=code, message=message)
    page.headers["Referrer-Policy"] = "strict-origin"  # without a referrer, browsers send the form with `Origin: null`
    return page


def local_path(path: str) -> str:
    """Return a path if it is one of this service, else ``/``. This prevents redirects to other sites."""
    is_local = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and path.isascii()
    return path if is_local else "/"
