"""Who may ask for what: every route, every method and every identity against one table (A1, A2, A3).

A route that is not in the table fails the test, so whoever adds one says here who may use it.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import pytest
from fastapi.routing import APIRoute
from starlette.routing import Mount

from service.app import create_app
from tests.abuse.target import OWN_PAGE, Identity, Target


class For(StrEnum):
    """Whom a route is for."""

    EVERYBODY = "everybody, without a token"
    TOKENS = "everybody with a token"
    READERS = "tokens that read everybody's searches"
    SUBMITTERS = "tokens that submit"
    ADMINS = "admins"
    WHO_SEES = "whoever sees the search: its owner, and tokens that read or manage; to others it is not there"
    WHO_SUBMITS_AND_SEES = "of those, tokens that submit"
    WHO_STEERS = "of those, its owner with a token that submits, and tokens that manage"


TABLE = {
    "GET /healthz": For.EVERYBODY,
    "GET /readyz": For.EVERYBODY,
    "GET /login": For.EVERYBODY,
    "POST /login": For.EVERYBODY,
    "GET /plotly.js": For.EVERYBODY,
    "GET /static/style.css": For.EVERYBODY,
    "GET /viewer/style.css": For.TOKENS,
    "POST /logout": For.TOKENS,
    "GET /metrics": For.READERS,
    "GET /api/openapi.json": For.TOKENS,
    "GET /api/recipes": For.TOKENS,
    "GET /api/recipes/{name}": For.TOKENS,
    "GET /api/data": For.TOKENS,
    "POST /api/data": For.SUBMITTERS,
    "GET /api/cluster": For.TOKENS,
    "GET /api/searches": For.TOKENS,
    "POST /api/searches": For.SUBMITTERS,
    "POST /api/searches/plan": For.TOKENS,
    "GET /api/searches/{id}": For.WHO_SEES,
    "PATCH /api/searches/{id}": For.WHO_STEERS,
    "DELETE /api/searches/{id}": For.WHO_STEERS,
    "GET /api/searches/{id}/candidates": For.WHO_SEES,
    "GET /api/compare": For.WHO_SEES,
    "GET /api/compare/candidates": For.WHO_SEES,
    "GET /api/compare/test": For.WHO_SEES,
    "POST /api/searches/{id}/pause": For.WHO_STEERS,
    "POST /api/searches/{id}/cancel": For.WHO_STEERS,
    "POST /api/searches/{id}/resume": For.WHO_STEERS,
    "POST /api/searches/{id}/retry": For.WHO_STEERS,
    "POST /api/searches/{id}/widen": For.WHO_SUBMITS_AND_SEES,
    "GET /api/searches/{id}/trials": For.WHO_SEES,
    "GET /api/searches/{id}/trials/{stage}/{number}": For.WHO_SEES,
    "GET /api/searches/{id}/trials/{stage}/{number}/log": For.WHO_SEES,
    "GET /api/searches/{id}/trials/{stage}/{number}/log/part": For.WHO_SEES,
    "GET /api/searches/{id}/figures/{name}": For.WHO_SEES,
    "GET /api/searches/{id}/figures/{name}/curves": For.WHO_SEES,
    "GET /api/searches/{id}/figures/{name}/heatmap/{variant:path}": For.WHO_SEES,
    "GET /api/searches/{id}/timeline": For.WHO_SEES,
    "GET /api/searches/{id}/parallel": For.WHO_SEES,
    "GET /api/searches/{id}/trials/{stage}/{number}/figure": For.WHO_SEES,
    "GET /api/searches/{id}/export": For.WHO_SEES,
    "GET /api/searches/{id}/checkpoint": For.WHO_SEES,
    "GET /api/searches/{id}/events": For.WHO_SEES,
    "GET /api/tokens": For.ADMINS,
    "POST /api/tokens": For.ADMINS,
    "DELETE /api/tokens/{id}": For.ADMINS,
    "GET /api/audit": For.ADMINS,
    "GET /": For.TOKENS,
    "GET /searches/{id}": For.WHO_SEES,
    "GET /searches/{id}/candidates/{stage}": For.WHO_SEES,
    "GET /searches/{id}/trials/{stage}/{number}": For.WHO_SEES,
    "GET /new": For.SUBMITTERS,
    "GET /compare": For.WHO_SEES,
    "GET /cluster": For.TOKENS,
    "GET /tokens": For.ADMINS,
    "GET /docs": For.TOKENS,
}
PATHS = sorted({route.partition(" ")[2] for route in TABLE})
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "NONSENSE")
UNSAFE = ("POST", "PUT", "PATCH", "DELETE", "NONSENSE")
IDENTITIES = (
    *("nobody", "junk", "another scheme", "expired", "revoked", "no cookie"),
    *("reader", "owner", "owner, by cookie", "stranger", "reader who submits", "manager", "admin"),
)
REFUSED, FORBIDDEN, HIDDEN, NO_SUCH_METHOD, SERVED = "refused", "forbidden", "hidden", "no such method", "served"


def routes(of: Any, prefix: str = "") -> Iterator[str]:
    """Go over method and path of every route, those of routers in routers too."""
    for route in of.routes:
        if isinstance(route, APIRoute):
            yield from (f"{method} {prefix}{route.path}" for method in sorted(route.methods))
        elif isinstance(route, Mount):
            yield f"GET {prefix}{route.path}/style.css"
        else:
            yield from routes(route.original_router, prefix + route.include_context.prefix)


def expected(route: str, who: Identity) -> str:
    """Say what the table says of somebody who asks for a route."""
    method, _, path = route.partition(" ")
    is_public = TABLE.get(f"GET {path}") is For.EVERYBODY
    if not who.scopes and not is_public:
        return REFUSED
    if route not in TABLE and path == "/api/searches/plan" and f"{method} /api/searches/{{id}}" in TABLE:
        return HIDDEN  # no search has the id `plan`
    if route not in TABLE:
        return SERVED if method == "HEAD" and path.endswith("style.css") else NO_SUCH_METHOD
    allowed_for, sees = TABLE[route], who.owner == "ada" or who.has("read", "manage")
    steers = who.has("manage") or (who.owner == "ada" and who.has("submit"))
    may = {
        For.EVERYBODY: True,
        For.TOKENS: True,
        For.READERS: who.has("read"),
        For.SUBMITTERS: who.has("submit"),
        For.ADMINS: who.has("admin"),
        For.WHO_SEES: sees,
        For.WHO_SUBMITS_AND_SEES: who.has("submit") and sees,
        For.WHO_STEERS: steers and sees,
    }[allowed_for]
    if may:
        return SERVED
    hides = allowed_for in (For.WHO_SEES, For.WHO_STEERS) or (
        allowed_for is For.WHO_SUBMITS_AND_SEES and who.has("submit")
    )
    return HIDDEN if hides and not sees else FORBIDDEN


def got(status: int, text: str) -> str:
    """Say what an answer means."""
    if status == 403 and '<form method="post" action="/login"' in text:
        return SERVED  # the login form, which says that the token is not known
    kinds = {401: REFUSED, 403: FORBIDDEN, 404: HIDDEN, 405: NO_SUCH_METHOD}
    assert status < 500 or "database" in text, (status, text)  # 503 of /readyz says which part is missing
    return kinds.get(status, SERVED)


def path_of(target: Target, path: str, method: str) -> str:
    """Fill the places of a path in: what is changed is the queued search, what is read the finished one."""
    id = target.done if method in ("GET", "HEAD") else target.queued
    if path.startswith("/api/tokens"):
        id = target.spare_token
    filled = path.replace(":path", "").format(
        id=id, stage="gm", number="0", name="planted" if "recipes" in path else "gm", variant="main"
    )
    query = f"?id={id}" if "/compare" in path else "?format=csv" if path.endswith("/export") else ""
    return filled.replace("/viewer/style.css", "/viewer/swagger-ui.css") + query


def methods_of(target: Target, path: str) -> list[str]:
    """Return the methods to try: all; on PostgreSQL those of routes and one more, as a database routes no method."""
    is_postgresql = target.engine.dialect.name == "postgresql"
    return [each for each in METHODS if not is_postgresql or f"{each} {path}" in TABLE or each == "NONSENSE"]


def test_every_route_is_in_the_table(target: Target) -> None:
    assert set(routes(create_app(target.settings))) == set(TABLE)


def test_every_identity_is_tried(target: Target) -> None:
    assert {*target.identities} == {*IDENTITIES}


@pytest.mark.parametrize("who", IDENTITIES)
def test_everybody_gets_what_the_table_says(target: Target, who: str) -> None:
    wrong = []
    asked = [(method, path) for path in PATHS for method in methods_of(target, path)]
    for method, path in sorted(asked, key=lambda each: each == ("POST", "/logout")):  # last, as it ends the session
        body = {} if method in ("POST", "PUT", "PATCH") and path != "/login" else None
        answer = target.ask(who, method, path_of(target, path, method), json=body)
        said = got(answer.status, answer.text if answer.status in (403, 503) else "")
        should = expected(f"{method} {path}", target.identities[who])
        if path.endswith("heatmap/{variant:path}") and should == SERVED:
            assert answer.status == 422, "a sequence has no heat map"
        if said != should:
            wrong.append(f"{method} {path}: {should} by the table, got {answer.status} {answer.text[:200]}")
    assert not wrong, "\n".join(wrong)


FORGERIES: list[dict[str, str]] = [
    {},
    {"X-Requested-With": "seqnorm"},
    {"Origin": "http://127.0.0.1"},
    OWN_PAGE | {"Origin": "null"},
    OWN_PAGE | {"Origin": "https://127.0.0.1"},
    OWN_PAGE | {"Origin": "http://127.0.0.1:81"},
    OWN_PAGE | {"Origin": "http://127.0.0.1.evil.example"},
    OWN_PAGE | {"Sec-Fetch-Site": "cross-site"},
    OWN_PAGE | {"Sec-Fetch-Site": "same-site"},
]
FORMS = ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x")


@pytest.mark.parametrize("forged", FORGERIES, ids=str)
def test_no_change_is_made_with_a_cookie_from_another_site(target: Target, forged: dict[str, str]) -> None:
    """Every route that changes something, and every method; logging in takes no cookie, and is tested with its page."""
    cookie = target.cookie("admin", owner="root")
    routes = [route.split() for route, audience in TABLE.items() if audience is not For.EVERYBODY]
    changes = [(method, path) for method, path in routes if method != "GET"]
    assert len(changes) >= 12
    for number, (method, path) in enumerate([*changes, *((method, "/api/searches/{id}") for method in UNSAFE)]):
        kind = {"Content-Type": FORMS[number % len(FORMS)]}
        answer = target.client.send(method, path_of(target, path, method), cookie | kind | forged)
        assert answer.status == 403, (method, path, answer.text)
        assert answer.json()["detail"].startswith("a change from a browser must come from a page of this service")
