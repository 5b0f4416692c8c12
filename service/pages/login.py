"""Logging a browser in, with a token or a link that works once, and out again."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import RedirectResponse, Response

from search.vocabulary.states import Action
from service import accounts
from service.database import Store
from service.middleware.access import COOKIE, cookie_options, looks
from service.rendering import page

router = APIRouter(include_in_schema=False)
SESSION_SECONDS = 30 * 24 * 3600.0
WRONG = "No token like that is known, unexpired and unrevoked."
USED = "That link was used before, or is older than ten minutes. The service prints another when it starts."


@router.get("/login")
def login_page(
    request: Request, stores: Store, code: Annotated[str, Query(max_length=200)] = "", next: str = "/"
) -> Response:
    """Show the form; with the code of a login link, log in."""
    if not code:
        return page(request, "login.html", next=local(next), said="")
    with stores.write() as connection:
        token = accounts.redeem_link(connection, code)
        cookie = accounts.open_session(connection, token, SESSION_SECONDS) if token else None
        if token:
            accounts.record(connection, token, Action.LOG_IN, token.id, {"with": "link"})
    return _enter(request, cookie, local(next), USED)


async def form(request: Request) -> dict[str, str]:
    """Read a form; of a field given twice, the first counts."""
    fields = parse_qs((await request.body()).decode(errors="replace"), max_num_fields=10)
    return {name: values[0] for name, values in fields.items()}


@router.post("/login")
def log_in(request: Request, stores: Store, form: Annotated[dict[str, str], Depends(form)]) -> Response:
    """Open a session for the holder of a token."""
    with stores.write() as connection:
        token = accounts.token_of(connection, form.get("token", "").strip())
        cookie = accounts.open_session(connection, token, SESSION_SECONDS) if token else None
        if token:
            accounts.sweep(connection)
            accounts.record(connection, token, Action.LOG_IN, token.id, {"with": "token"})
    return _enter(request, cookie, local(form.get("next", "/")), WRONG)


@router.post("/logout", dependencies=[looks])
def log_out(request: Request, stores: Store) -> Response:
    """End the session."""
    with stores.write() as connection:
        accounts.close_session(connection, request.cookies.get(COOKIE, ""))
    answer = Response(status_code=204)
    answer.delete_cookie(**cookie_options(request))
    return answer


def _enter(request: Request, cookie: str | None, next: str, refusal: str) -> Response:
    if cookie is None:
        return page(request, "login.html", 403, next=next, said=refusal)
    entered = RedirectResponse(next, 303)
    entered.set_cookie(value=cookie, max_age=int(SESSION_SECONDS), **cookie_options(request))
    return entered


def local(path: str) -> str:
    """Return a path of this service, whatever was asked for: no link of ours leads elsewhere."""
    plain = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and path.isascii()
    return path if plain else "/"
