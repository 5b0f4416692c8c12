"""Strangers get nothing, and everybody no more than their scopes say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from fastapi.routing import APIRoute
from sqlalchemy import update
from starlette.routing import Mount

from search.store import tables
from search.store.database import now
from service import accounts
from service.app import create_app
from service.middleware.gate import COOKIE, PUBLIC_PATHS, is_public
from tests.service.conftest import Site

SPEC = {"recipe": "planted", "gm": [1, 2], "gc": [1], "seeds": 1}


def routes(of: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Go over the methods and paths of every route, those of routers in routers too."""
    for route in of.routes:
        if isinstance(route, APIRoute):
            yield from ((method, prefix + route.path) for method in sorted(route.methods))
        elif isinstance(route, Mount):
            yield "GET", f"{prefix}{route.path}/style.css"
        else:
            yield from routes(route.original_router, prefix + route.include_context.prefix)


def asked(site: Site) -> list[tuple[str, str]]:
    """Return every method and path, with the parts filled in."""
    filled = {"id": site.done, "stage": "gm", "number": "0", "name": "gm", "variant": "main"}
    found = [*routes(create_app(site.settings)), ("GET", "/nothing/here"), ("PUT", "/api/searches")]
    return [(method, path.replace(":path", "").format(**filled)) for method, path in found]


def test_strangers_get_nothing_but_what_is_listed_as_public(site: Site) -> None:
    known = asked(site)
    assert len(known) > 50
    with httpx2.Client(base_url=site.url) as stranger:
        for method, path in known:
            answer = stranger.request(method, path)
            assert (answer.status_code == 401) != is_public(path), (method, path, answer.status_code)
            if answer.status_code == 401:
                assert answer.headers["Content-Type"] == "application/problem+json"
    public = ["/healthz", "/readyz", "/login", "/login", "/plotly.js", "/static/style.css"]
    assert [path for _, path in known if is_public(path)] == public


def test_every_route_that_is_not_public_demands_a_scope(site: Site) -> None:
    """A token whose scopes are none that exists opens nothing, so a route that forgot to ask for one would be found."""
    text = site.token("read", owner="nobody")
    with site.engine.begin() as connection:
        of_token = update(tables.tokens).where(tables.tokens.c.id == text.split("_")[1])
        connection.execute(of_token.values(scopes=["nothing"]))
    with httpx2.Client(base_url=site.url, headers={"Authorization": f"Bearer {text}"}) as nobody:
        for method, path in asked(site):
            if is_public(path) or path.startswith(("/viewer/", "/nothing")) or method == "PUT":
                continue
            answer = nobody.request(method, path)
            assert answer.status_code == 403, (method, path, answer.status_code)


@pytest.mark.parametrize("kind", ["junk", "forged", "expired", "revoked", "cookie", "other scheme"])
def test_what_is_no_token_opens_nothing(site: Site, kind: str) -> None:
    text = site.token("admin")
    token_id = text.split("_")[1]
    headers = {"Authorization": f"Bearer {text}"}
    if kind == "junk":
        headers = {"Authorization": "Bearer \x7f seqnorm__"}
    elif kind == "forged":
        headers = {"Authorization": f"Bearer {text[:-1]}{'A' if text[-1] != 'A' else 'B'}"}
    elif kind == "other scheme":
        headers = {"Authorization": f"Basic {text}"}
    elif kind == "cookie":
        headers = {"Cookie": f"{COOKIE}={text[-43:]}"}
    with site.engine.begin() as connection:
        if kind == "expired":
            of_token = update(tables.tokens).where(tables.tokens.c.id == token_id)
            connection.execute(of_token.values(expires_at=now() - 1))
        elif kind == "revoked":
            accounts.revoke_token(connection, token_id)
    assert httpx2.get(f"{site.url}/api/searches", headers=headers).status_code == 401


def test_reading_changes_nothing(site: Site) -> None:
    reader = site.client("read")
    assert reader.get(f"/api/searches/{site.done}").status_code == 200
    for method, path in (
        ("POST", "/api/searches"),
        ("PATCH", f"/api/searches/{site.queued}"),
        ("DELETE", f"/api/searches/{site.done}"),
        *(
            ("POST", f"/api/searches/{site.queued}/{action}")
            for action in ("pause", "cancel", "resume", "retry", "widen")
        ),
        ("GET", "/api/tokens"),
        ("POST", "/api/tokens"),
        ("DELETE", "/api/tokens/0123456789ab"),
        ("GET", "/api/audit"),
        ("GET", "/tokens"),
        ("GET", "/new"),
    ):
        body = {"json": SPEC if path == "/api/searches" else {}} if method in ("POST", "PATCH") else {}
        answer = reader.request(method, path, **body)
        assert answer.status_code == 403, (method, path, answer.text)


def test_who_submits_steers_their_own_and_nobody_elses(site: Site) -> None:
    ada = site.client("read", "submit", owner="ada")
    own = ada.post("/api/searches", json=SPEC).json()["search"]
    assert ada.get(f"/api/searches/{own}").json()["owner"] == "ada"
    assert ada.post(f"/api/searches/{own}/pause").json()["status"] == "paused"
    refusal = ada.post(f"/api/searches/{site.queued}/pause")
    assert refusal.status_code == 403
    assert refusal.json()["detail"].startswith("this search is local's: got a token of ada with read, submit.")
    manager = site.client("manage", owner="grace")
    assert manager.post(f"/api/searches/{own}/cancel").json()["status"] == "cancelled"


def test_who_does_not_read_sees_their_own_alone(site: Site) -> None:
    eve = site.client("submit", owner="eve")
    own = eve.post("/api/searches", json=SPEC).json()["search"]
    assert [row["search"] for row in eve.get("/api/searches").json()["searches"]] == [own]
    assert eve.get("/api/searches?owner=local").json()["searches"][0]["search"] == own
    for path in (f"/api/searches/{site.done}", f"/api/searches/{site.done}/events", f"/api/compare?id={site.done}"):
        assert eve.get(path).status_code == 404, path
    assert eve.post(f"/api/searches/{site.queued}/pause").status_code == 404
    assert {row["search"] for row in eve.get("/api/cluster").json()["waiting"]} == {own}
    eve.post(f"/api/searches/{own}/cancel")


# In a browser


@pytest.fixture
def cookie(site: Site) -> str:
    """The cookie of somebody who is logged in."""
    answer = httpx2.post(f"{site.url}/login", data={"token": site.token("submit", "read")})
    return answer.headers["Set-Cookie"].partition(";")[0]


def test_a_browser_that_is_not_logged_in_is_led_to_the_form(site: Site) -> None:
    answer = httpx2.get(f"{site.url}/searches/{site.done}?sort=value", headers={"Accept": "text/html"})
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"/login?next=%2Fsearches%2F{site.done}%3Fsort%3Dvalue"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"X-Requested-With": "seqnorm"}, 403),
        ({"Origin": "{url}"}, 403),
        ({"Origin": "http://evil.example", "X-Requested-With": "seqnorm"}, 403),
        ({"Origin": "null", "X-Requested-With": "seqnorm"}, 403),
        ({"Origin": "{url}.evil.example", "X-Requested-With": "seqnorm"}, 403),
        ({"Origin": "https://{host}", "X-Requested-With": "seqnorm"}, 403),
        ({"Origin": "{url}", "X-Requested-With": "seqnorm", "X-Forwarded-Proto": "https"}, 403),
        ({"Origin": "{url}", "X-Requested-With": "seqnorm", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "{url}", "X-Requested-With": "seqnorm", "Sec-Fetch-Site": "same-origin"}, 201),
        ({"Origin": "https://{host}", "X-Requested-With": "seqnorm", "X-Forwarded-Proto": "https"}, 201),
        ({"Origin": "{url}", "X-Requested-With": "seqnorm"}, 201),
    ],
)
def test_a_change_with_a_cookie_must_come_from_our_own_pages(
    site: Site, cookie: str, headers: dict[str, str], status: int
) -> None:
    host = site.url.removeprefix("http://")
    sent = {name: value.format(url=site.url, host=host) for name, value in headers.items()} | {"Cookie": cookie}
    answer = httpx2.post(f"{site.url}/api/searches", json=SPEC, headers=sent)
    assert answer.status_code == status, answer.text


def test_a_request_under_another_name_is_turned_away(site: Site) -> None:
    for path in ("/api/searches", "/login", "/healthz/", "/plotly.js"):
        for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "[", ""):
            answer = site.api.get(path, headers={"Host": host})
            assert answer.status_code in (400, 421), (path, host)
    for host in ("localhost", f"localhost:{site.settings.port}", "[::1]:80", "127.0.0.1"):
        assert site.api.get("/login", headers={"Host": host}).status_code == 200, host


def test_whoever_keeps_the_service_running_asks_for_its_health_by_any_name(site: Site) -> None:
    for path in ("/healthz", "/readyz"):
        assert httpx2.get(f"{site.url}{path}", headers={"Host": "web:8000"}).status_code in (200, 503), path


def test_what_is_public_is_little() -> None:
    assert PUBLIC_PATHS == ("/healthz", "/readyz", "/login", "/plotly.js", "/static/")
