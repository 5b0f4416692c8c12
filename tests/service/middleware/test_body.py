"""Bodies are counted as they stream in, and not waited for for long."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from service.accounts.guesses import Guesses
from service.middleware.body import BodyMiddleware
from service.middleware.gate import Credential
from tests.service.loops import run

SCOPE: Scope = {
    "type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": [(b"content-length", b"8")]
}  # fmt: skip


async def echo(request: Request) -> PlainTextResponse:
    return PlainTextResponse(await request.body())


ECHO = Starlette(routes=[Route("/", echo, methods=["POST"]), Route("/login", echo, methods=["POST"])])


def limited(app: Starlette | None = None) -> TestClient:
    """Return a client of an application that takes ten bytes, by default one that echoes them."""
    return TestClient(BodyMiddleware(app or ECHO, Guesses(0), max_bytes=10))


def in_pieces(*pieces: bytes) -> Iterator[bytes]:
    """Give a body whose length is not announced."""
    yield from pieces


def test_a_body_of_as_many_bytes_as_are_allowed_arrives_whole() -> None:
    assert limited().post("/", content=b"0123456789").content == b"0123456789"
    assert limited().post("/", content=in_pieces(b"01234", b"56789")).content == b"0123456789"


def test_a_body_announced_as_larger_is_refused_before_anything_else_is_done() -> None:
    answer = limited(Starlette()).post("/", content=b"0123456789A")
    assert (answer.status_code, answer.headers["Content-Type"]) == (413, "application/problem+json")
    assert answer.json()["detail"] == "a body may have at most 10 bytes: got more. Send less at once."


def test_a_body_of_no_announced_length_is_counted() -> None:
    assert limited().post("/", content=in_pieces(b"01234", b"56789", b"A")).status_code == 413


async def exchange(receive: Receive) -> list[Message]:
    """Ask the echo for what comes; return what it sends."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    app = BodyMiddleware(ECHO, Guesses(0), read_seconds=0.01)
    await app(SCOPE, receive, send)
    return sent


def test_a_body_that_does_not_arrive_is_waited_for_no_longer_than_is_said() -> None:
    first: list[Message] = [{"type": "http.request", "body": b"0123", "more_body": True}]

    async def receive() -> Message:
        if first:
            return first.pop()
        await asyncio.sleep(60)
        raise AssertionError

    start, body = run(exchange(receive))
    assert start["status"] == 408
    assert json.loads(body["body"])["detail"] == "a body must arrive within 0.01 s: got 4 bytes. Send it again."


def test_a_client_may_stay_as_long_as_it_likes_once_its_body_is_there() -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def wait_for_leaving(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        heard.append(await receive())

    async def leave() -> Message:
        if not heard_of_body:
            heard_of_body.append(True)
            return await receive()
        await asyncio.sleep(0.05)  # longer than a body may take
        return {"type": "http.disconnect"}

    async def send(_: Message) -> None:
        raise AssertionError

    heard: list[Message] = []
    heard_of_body: list[bool] = []
    run(BodyMiddleware(wait_for_leaving, Guesses(0), read_seconds=0.01)(SCOPE, leave, send))
    assert heard == [{"type": "http.disconnect"}]


def test_bodies_that_arrive_together_have_a_bound_that_those_gone_leave() -> None:
    async def send_several() -> list[int]:
        guesses = Guesses(0)
        guesses.record("here", Credential("right", by_cookie=False).key, right=True)
        app = BodyMiddleware(ECHO, guesses, max_bytes_of_others=10)
        first_is_here, statuses = asyncio.Event(), list[int]()
        rest_of_first = asyncio.Event()

        async def ask(body: bytes, *, whole: bool, token: str = "other") -> None:
            headers = [*SCOPE["headers"], (b"authorization", f"Bearer {token}".encode())]
            messages = [{"type": "http.request", "body": body, "more_body": not whole}]

            async def receive() -> Message:
                if messages:
                    return messages.pop()
                first_is_here.set()
                await rest_of_first.wait()
                return {"type": "http.request", "body": b"", "more_body": False}

            async def send(message: Message) -> None:
                if "status" in message:
                    statuses.append(message["status"])

            await app({**SCOPE, "headers": headers}, receive, send)

        first = asyncio.create_task(ask(b"012345", whole=False))
        await first_is_here.wait()
        await ask(b"012345", whole=True)
        await ask(b"012345", whole=True, token="right")
        rest_of_first.set()
        await first
        await ask(b"012345", whole=True)
        return statuses

    assert run(send_several()) == [503, 200, 200, 200], "who is known has a bound of their own"


def test_a_client_that_leaves_in_the_middle_of_its_body_reaches_nobody() -> None:
    async def leave() -> Message:
        return {"type": "http.disconnect"}

    async def reached(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError

    async def send(_: Message) -> None:
        pass  # which goes nowhere

    run(BodyMiddleware(reached, Guesses(0))(SCOPE, leave, send))


def test_a_length_of_thousands_of_digits_is_too_large() -> None:
    answer = limited().post("/", content=in_pieces(b"0"), headers={"Content-Length": "9" * 5000})
    assert answer.status_code == 413


def test_a_login_form_has_less_room_than_a_search() -> None:
    client = TestClient(BodyMiddleware(ECHO, Guesses(0)))
    body = b"0" * 8193
    assert client.post("/", content=body).status_code == 200
    assert client.post("/login", content=body).status_code == 413
    assert client.post("/login", content=body[1:]).status_code == 200
