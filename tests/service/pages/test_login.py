"""Logging a browser in, with a token or a link that works once, and out again."""

from __future__ import annotations

import httpx2
import pytest

from service import accounts
from service.middleware.gate import COOKIE
from service.pages.login import local_path
from tests.service.conftest import Site


@pytest.fixture
def cookie(site: Site) -> str:
    """The cookie of somebody who logged in with the form."""
    answer = httpx2.post(f"{site.url}/login", data={"token": site.token("submit", "read"), "next": "/cluster"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/cluster")
    said = answer.headers["Set-Cookie"]
    assert {"HttpOnly", "Path=/", "SameSite=strict"} <= set(said.split("; "))
    return said.partition(";")[0]


def test_a_wrong_token_does_not_log_in(site: Site) -> None:
    answer = httpx2.post(f"{site.url}/login", data={"token": "seqnorm_0_0"})
    assert answer.status_code == 403
    assert "This token is unknown, expired or revoked" in answer.text
    assert "Set-Cookie" not in answer.headers


def test_logging_out_ends_the_session(site: Site, cookie: str) -> None:
    own = {"Origin": site.url, "X-Requested-With": "seqnorm", "Cookie": cookie}
    assert httpx2.get(f"{site.url}/api/searches", headers=own).status_code == 200
    assert httpx2.post(f"{site.url}/logout", headers=own).status_code == 204
    assert httpx2.get(f"{site.url}/api/searches", headers=own).status_code == 401


def test_a_link_logs_in_once(site: Site) -> None:
    text = site.token("read")
    with site.engine.begin() as connection:
        token = accounts.authenticate_token(connection, text)
        assert token
        code = accounts.create_login_link(connection, token)
    first = httpx2.get(f"{site.url}/login?code={code}")
    assert first.status_code == 303
    assert COOKIE in first.headers["Set-Cookie"]
    second = httpx2.get(f"{site.url}/login?code={code}")
    assert second.status_code == 403
    assert "was used before" in second.text


@pytest.mark.parametrize(
    "elsewhere", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/a\nb", "", "/ä"]
)
def test_logging_in_leads_nowhere_else(elsewhere: str) -> None:
    assert local_path(elsewhere) == "/"
    assert local_path("/searches/abc?after=3") == "/searches/abc?after=3"


def test_over_tls_the_cookie_is_kept_to_it(site: Site) -> None:
    forwarded = {"X-Forwarded-Proto": "https"}  # as a proxy on this machine says
    answer = httpx2.post(f"{site.url}/login", data={"token": site.token("read")}, headers=forwarded)
    assert "Secure" in answer.headers["Set-Cookie"].split("; ")
