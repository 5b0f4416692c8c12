"""Log a browser in, with a token or a login link, and out."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import RedirectResponse, Response

from search.vocabulary.states import Action
from service import accounts
from service.database import AppDatabase
from service.middleware.access import COOKIE, can_read, cookie_options
from service.rendering import render_page

router = APIRouter(include_in_schema=False)
SESSION_SECONDS = 30 * 24 * 3600.0
REFUSED_LOGIN = "This token is unknown, expired or revoked."
REFUSED_LINK = "This link was used before, or is older than ten minutes. The service prints a new one when it starts."


@router.get("/login")
def login_page(
    request: Request, database: AppDatabase, code: Annotated[str, Query(max_length=200)] = "", next: str = "/"
) -> Response:
    """Show the login form; with the code of a login link, log in."""
    if not code:
        return render_page(request, "login.html", next=local_path(next), message="")
    with database.write() as connection:
        token = accounts.redeem_login_link(connection, code)
        cookie = accounts.open_session(connection, token, SESSION_SECONDS) if token else None
        if token:
            accounts.record_action(connection, token, Action.LOG_IN, token.id, {"with": "link"})
    return _start_session(request, cookie, local_path(next), REFUSED_LINK)


async def read_form(request: Request) -> dict[str, str]:
    """Read the fields of a form; of a repeated field, the first one."""
    fields = parse_qs((await request.body()).decode(errors="replace"), max_num_fields=10)
    return {name: values[0] for name, values in fields.items()}


@router.post("/login")
def log_in(request: Request, database: AppDatabase, form: Annotated[dict[str, str], Depends(read_form)]) -> Response:
    """Log in with a token: open a session."""
    with database.write() as connection:
        token = accounts.authenticate_token(connection, form.get("token", "").strip())
        cookie = accounts.open_session(connection, token, SESSION_SECONDS) if token else None
        if token:
            accounts.delete_expired(connection)
            accounts.record_action(connection, token, Action.LOG_IN, token.id, {"with": "token"})
    return _start_session(request, cookie, local_path(form.get("next", "/")), REFUSED_LOGIN)


@router.post("/logout", dependencies=[can_read])
def log_out(request: Request, database: AppDatabase) -> Response:
    """Log out: end the session."""
    with database.write() as connection:
        accounts.close_session(connection, request.cookies.get(COOKIE, ""))
    response = Response(status_code=204)
    response.delete_cookie(**cookie_options(request))
    return response


def _start_session(request: Request, cookie: str | None, next: str, refusal: str) -> Response:
    if cookie is None:
        return render_page(request, "login.html", 403, next=next, message=refusal)
    response = RedirectResponse(next, 303)
    response.set_cookie(value=cookie, max_age=int(SESSION_SECONDS), **cookie_options(request))
    return response


def local_path(path: str) -> str:
    """Return a path if it is one of this service, else ``/``. This prevents redirects to other sites."""
    is_local = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and path.isascii()
    return path if is_local else "/"
