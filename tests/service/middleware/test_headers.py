"""What every answer carries, and answers that a client has already."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from service.middleware.headers import EntityTagMiddleware, SecurityHeadersMiddleware
from tests.service.conftest import Site


def test_a_client_that_has_an_answer_is_told_so(site: Site) -> None:
    path = f"/api/searches/{site.done}"
    first = site.api.get(path)
    again = site.api.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    assert site.api.get(path, headers={"If-None-Match": 'W/"other"'}).status_code == 200


def test_every_answer_carries_the_security_headers(site: Site) -> None:
    for path in ("/", "/healthz", "/static/live.js", f"/searches/{site.done}", "/nowhere", "/api/searches/nowhere"):
        answer = site.api.get(path)
        assert "script-src 'self';" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def client_of(middleware: type[EntityTagMiddleware | SecurityHeadersMiddleware], *routes: Route) -> TestClient:
    """Return a client of some routes behind a middleware."""
    return TestClient(middleware(Starlette(routes=list(routes))))


def test_a_header_that_an_answer_brings_is_kept() -> None:
    async def sandboxed(_: Request) -> PlainTextResponse:
        return PlainTextResponse("", headers={"Content-Security-Policy": "sandbox", "Cache-Control": "no-store"})

    headers = client_of(SecurityHeadersMiddleware, Route("/", sandboxed)).get("/").headers
    assert (headers["Content-Security-Policy"], headers["Cache-Control"]) == ("sandbox", "no-store")
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_an_answer_is_tagged_by_its_content_and_sent_once() -> None:
    async def moment(_: Request) -> PlainTextResponse:
        return PlainTextResponse(words[0])

    words, client = ["now"], client_of(EntityTagMiddleware, Route("/", moment))
    tag = client.get("/").headers["ETag"]
    known = {"If-None-Match": f'W/"of another answer", {tag}'}
    skipped = client.get("/", headers=known)
    assert (skipped.status_code, skipped.content, skipped.headers["ETag"]) == (304, b"", tag)
    assert "Content-Length" not in skipped.headers
    words[0] = "later"
    changed = client.get("/", headers=known)
    assert (changed.status_code, changed.text) == (200, "later")
    assert changed.headers["ETag"] != tag


def test_a_stream_and_an_error_are_not_tagged() -> None:
    async def stream(_: Request) -> StreamingResponse:
        return StreamingResponse(iter(["a", "b"]), media_type="text/event-stream")

    client = client_of(EntityTagMiddleware, Route("/stream", stream))
    assert client.get("/stream").text == "ab"
    assert "ETag" not in client.get("/stream").headers
    assert "ETag" not in client.get("/nothing").headers
