"""What no well-meaning client sends: always an answer in the error schema, never a traceback, and nothing stored."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from service.middleware import body as body_module
from tests.service.api.answers import count
from tests.service.conftest import Site

HUGE = 2**20 + 1


@pytest.fixture(autouse=True)
def nothing_happens(site: Site) -> Iterator[None]:
    """Whatever is sent stores no search, and leaves no traceback in the log."""
    log = site.settings.home / "service.log"
    before, logged = count(site), len(log.read_text())
    yield
    assert count(site) == before
    assert "Traceback" not in log.read_text()[logged:]


def exchange(site: Site, *pieces: bytes, timeout: float = 20) -> tuple[int, dict[str, str]]:
    """Send bytes as they are; return the status and the problem that is answered."""
    with socket.create_connection(("127.0.0.1", site.settings.port), timeout=timeout) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it was refused before all was sent
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    head, _, content = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head, head
    return int(head.split()[1]), json.loads(content)


def head(site: Site, method: str, path: str, *headers: str) -> bytes:
    authorization = site.api.headers["Authorization"]
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: 127.0.0.1:{site.settings.port}",
        f"Authorization: {authorization}",
        "Connection: close",
        *headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def test_a_body_that_is_announced_as_too_large_is_refused_unread(site: Site) -> None:
    status, problem = exchange(site, head(site, "POST", "/api/searches", f"Content-Length: {HUGE}"))
    assert (status, problem["detail"]) == (413, f"a body may have at most {2**20} bytes: got more. Send less at once.")


def test_a_body_in_chunks_is_counted(site: Site) -> None:
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    request = head(site, "POST", "/api/searches", "Transfer-Encoding: chunked", "Content-Type: application/json")
    status, problem = exchange(site, request, *[chunk] * 16, b"1\r\n \r\n")  # no end: none is waited for
    assert (status, problem["title"]) == (413, "Too large")


def test_a_body_that_does_not_arrive_is_not_waited_for(site: Site) -> None:
    request = head(site, "POST", "/api/searches", "Content-Length: 100", "Content-Type: application/json")
    status, problem = exchange(site, request, b'{"recipe":', timeout=body_module.READ_SECONDS + 10)
    assert status == 408
    assert problem["detail"].startswith("a body must arrive within 10 s: got 10 bytes.")


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b"\xff\xfe",
        b'{"recipe": "\xed\xa0\x80"}',
        b"{",
        b"",
        b"null",
        b'"recipe"',
        b'{"recipe": "planted", "gm": [NaN], "gc": [1]}',
        b'{"recipe": "planted", "gm": [1e999], "gc": [1]}',
        b'{"recipe": "planted", "gm": [1], "gc": [1], "tolerance": Infinity}',
        b'{"recipe": "planted", "gm": [1], "gc": [1], "numbers": {"noise": NaN}}',
        b'{"recipe": "planted", "gm": [1], "gc": [1], "name": "\\u0000"}',
        b'{"recipe": "planted", "gm": [1], "gc": [1], "name": "\\ud800"}',
        b'{"recipe": "planted", "gm": [1], "gc": [1], "tags": ["<b>"]}',
        b'{"recipe": "planted", "gm": [1], "gc": [1], "\\ud800": 1}',
        b'{"recipe": "\\ud800", "gm": [1], "gc": [1]}',
        b'{"recipe": "planted", "gm": [1], "gc": [1], "numbers": {"\\u0000": 1}}',
        b'{"recipe": "planted", "gm": [' + b"9" * 5000 + b'], "gc": [1]}',
        b'{"recipe": "planted", "gm": [' + b"1," * 100_000 + b'1], "gc": [1]}',
        b'{"recipe": "planted", "gm": [1], "gc": [1], "priority": ' + b"9" * 400 + b"}",
        b'{"recipe": "planted", "gm": [1], "gc": [1], "data": "../../etc/passwd"}',
        b'{"recipe": "planted", "gm": [1], "gc": [1], "data": "\\u0000"}',
    ],
    ids=range(23),
)
@pytest.mark.parametrize("path", ["/api/searches", "/api/searches/plan"])
def test_a_body_that_means_nothing_is_invalid(site: Site, path: str, content: bytes) -> None:
    answer = site.api.post(path, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text[:300]
    problem = answer.json()
    assert (problem["title"], problem["status"]) == ("Invalid request", 422)
    assert ": " in problem["detail"]


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data; boundary=x", ""])
def test_a_search_is_json_and_says_so(site: Site, kind: str) -> None:
    content = b'{"recipe": "planted", "gm": [1], "gc": [1]}'
    answer = site.api.post("/api/searches/plan", content=content, headers={"Content-Type": kind})
    assert answer.status_code == 422
    assert "Send it as application/json" in answer.json()["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/searches/%00",
        "/api/searches/%ED%A0%80",
        "/api/searches/..%2F..%2Fetc%2Fpasswd",
        "/api/searches/%2e%2e/%2e%2e/etc/passwd",
        "/api/searches/" + "a" * 5000,
        "/api/searches/' OR 1=1 --".replace(" ", "%20"),
        "/api/searches/%C3%A9",
        "/api//searches",
        "/api/searches/{done}/trials/gm/99999999999999999999",
        "/api/searches/{done}/trials/gm/-1",
        "/api/searches/{done}/trials/%00/1",
        "/api/searches/{done}/trials?after=99999999999999999999",
        "/api/searches/{done}/trials?limit=0",
        "/api/searches/{done}/trials?gm=1e3",
        "/api/searches/{done}/figures/%00",
        "/api/searches/{done}/figures/..%2F..%2Fx",
        "/api/searches/{done}/events?after=-1",
        "/api/searches?name=%00",
        "/api/searches?cursor=%00",
        "/api/searches?cursor=" + "A" * 900,
        "/api/searches?limit=1000000",
        "/api/searches?sort=owner",
        "/api/compare?" + "&".join(f"id={n}" for n in range(20)),
        "/static/../settings.py",
        "/static/%2e%2e/%2e%2e/settings.py",
        "/static/%00",
    ],
)
def test_a_path_that_leads_nowhere_is_refused(site: Site, path: str) -> None:
    status, problem = exchange(site, head(site, "GET", path.replace("{done}", site.done)))
    assert status in (404, 422), problem
    assert problem["detail"]


@pytest.mark.parametrize("method", ["TRACE", "PUT", "OPTIONS", "CONNECT", "NONSENSE"])
def test_a_method_that_is_not_of_a_route_is_refused(site: Site, method: str) -> None:
    status, problem = exchange(site, head(site, method, "/api/searches"))
    assert (status, problem["status"]) == (405, 405)


@pytest.mark.parametrize("path", ["/", "/api/searches", "/healthz"])
def test_a_head_has_no_content(site: Site, path: str) -> None:
    answer = site.api.head(path)
    assert answer.status_code in (200, 405)
    assert answer.content == b""
