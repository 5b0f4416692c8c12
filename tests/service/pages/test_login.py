"""Logging a browser in, with a token or a link that works once, and out again; never at another site's wish."""

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


def test_a_form_with_many_fields_is_refused(site: Site) -> None:
    answer = httpx2.post(f"{site.url}/login", data={f"field{i}": "x" for i in range(11)})
    assert answer.status_code == 422
    assert answer.json()["detail"] == "a login form must have at most 10 fields: got more. Send token and next."


def test_logging_out_ends_the_session(site: Site, cookie: str) -> None:
    own = {"Origin": site.url, "X-Requested-With": "seqnorm", "Cookie": cookie}
    assert httpx2.get(f"{site.url}/api/searches", headers=own).status_code == 200
    assert httpx2.post(f"{site.url}/logout", headers=own).status_code == 204
    assert httpx2.get(f"{site.url}/api/searches", headers=own).status_code == 401


@pytest.fixture
def code(site: Site) -> str:
    """The code of a login link."""
    text = site.token("read")
    with site.engine.begin() as connection:
        token = accounts.authenticate_token(connection, text)
        assert token
        return accounts.create_login_link(connection, token)


def test_a_link_logs_in_once_by_the_button_of_its_page(site: Site, code: str) -> None:
    for _ in range(2):  # opening it, as a preview does, uses nothing up
        opened = httpx2.get(f"{site.url}/login?code={code}")
        assert opened.status_code == 200
        assert f'<input type="hidden" name="code" value="{code}">' in opened.text
        assert "Set-Cookie" not in opened.headers
    first = httpx2.post(f"{site.url}/login", data={"code": code}, headers={"Origin": site.url})
    assert first.status_code == 303
    assert COOKIE in first.headers["Set-Cookie"]
    second = httpx2.post(f"{site.url}/login", data={"code": code})
    assert second.status_code == 403
    assert "was used before" in second.text


FOREIGN: list[dict[str, str]] = [
    {"Origin": "http://evil.example"},
    {"Origin": "https://{host}"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://{host}.evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://{host}", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "http://{host}", "Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_another_site_does_not_log_a_browser_in(site: Site, code: str, headers: dict[str, str]) -> None:
    host = site.url.removeprefix("http://")
    sent = {name: value.format(host=host) for name, value in headers.items()}
    for form in ({"token": site.token("read")}, {"code": code}, {}):
        answer = httpx2.post(f"{site.url}/login", data=form, headers=sent)
        assert answer.status_code == 403
        rule = f"a change from a browser must come from a page of this service, {site.url}: got the origin "
        assert answer.json()["detail"].startswith(rule)
        assert "Set-Cookie" not in answer.headers
    assert httpx2.post(f"{site.url}/login", data={"code": code}).status_code == 303, "its code is not used up"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://{host}"},
        {"Origin": "http://{host}", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "https://{host}", "X-Forwarded-Proto": "https"},
        {},
    ],
    ids=["its page", "its page in a browser that says so", "its page behind a proxy with TLS", "a program"],
)
def test_the_form_logs_in_from_its_own_page_and_a_program_without_one(site: Site, headers: dict[str, str]) -> None:
    host = site.url.removeprefix("http://")
    sent = {name: value.format(host=host) for name, value in headers.items()}
    answer = httpx2.post(f"{site.url}/login", data={"token": site.token("read")}, headers=sent)
    assert answer.status_code == 303


def test_the_form_is_sent_with_its_origin(site: Site) -> None:
    """Where no referrer is sent, browsers send a form with ``Origin: null``, as a page of nowhere."""
    assert httpx2.get(f"{site.url}/login").headers["Referrer-Policy"] == "strict-origin"
    refused = httpx2.post(f"{site.url}/login", data={"token": "seqnorm_0_0"})
    assert refused.headers["Referrer-Policy"] == "strict-origin"


@pytest.mark.parametrize("headers", [*FOREIGN, {}], ids=str)
def test_another_site_does_not_log_a_browser_out(site: Site, cookie: str, headers: dict[str, str]) -> None:
    host = site.url.removeprefix("http://")
    own = {"X-Requested-With": "seqnorm", "Cookie": cookie}
    sent = {name: value.format(host=host) for name, value in headers.items()}
    assert httpx2.post(f"{site.url}/logout", headers=own | sent).status_code == 403
    assert httpx2.get(f"{site.url}/api/searches", headers=own).status_code == 200


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
