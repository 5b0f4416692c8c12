"""Connections that do nothing, that are too many, and clients that take nothing."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from service import connection
from service.connection import BoundedState, Connection, ConnectionTable

REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
Serve = Callable[..., tuple[str, int]]
BLOCK = b"x" * 2**20
HALF = 6 * 2**20


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer at once; with ``/slow`` go on until the client leaves, with ``/large`` send without an end.

    With ``/half`` send more than a system takes from a client that stops reading; with ``/body`` wait for the body.
    """
    if scope["path"] == "/body":
        while (await receive()).get("more_body"):
            pass

    async def content() -> AsyncIterator[bytes]:
        yield b"done"
        if scope["path"] == "/half":
            yield b"x" * HALF
        while scope["path"] == "/slow":
            await asyncio.sleep(0.01)
        while scope["path"] == "/large":
            yield BLOCK
            await asyncio.sleep(0)  # sending suspends no more once the client has left

    await StreamingResponse(content())(scope, receive, send)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Return what starts a server with short deadlines, in a thread, and returns its address."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(per_source: int = 100, total: int = 100, seconds: float = 0.8) -> tuple[str, int]:
        monkeypatch.setattr(connection, "HEADER_SECONDS", seconds)
        monkeypatch.setattr(connection, "WRITE_SECONDS", seconds)
        config = uvicorn.Config(app, port=0, log_config=None, lifespan="off", http=Connection, ws="none")
        server = uvicorn.Server(config)
        server.server_state = BoundedState(ConnectionTable(per_source, total))
        config.timeout_graceful_shutdown = 1
        thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
        monkeypatch.setattr(server, "capture_signals", _no_signals)
        thread.start()
        running.append((server, thread))
        while not server.started:
            time.sleep(0.01)
        address: tuple[str, int] = server.servers[0].sockets[0].getsockname()
        return address

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join()


@contextmanager
def _no_signals() -> Iterator[None]:
    yield


@contextmanager
def connected(address: tuple[str, int], source: str = "127.0.0.1") -> Iterator[socket.socket]:
    """Connect from an address of this host."""
    with socket.create_connection(address, timeout=20, source_address=(source, 0)) as client:
        yield client


def read(client: socket.socket) -> bytes:
    """Read until the server closes."""
    received = b""
    try:
        while chunk := client.recv(65536):
            received += chunk
    except ConnectionResetError:
        pass
    return received


def is_served(address: tuple[str, int], source: str = "127.0.0.1") -> bool:
    with connected(address, source) as client:
        client.sendall(REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        return b"done" in read(client)


def problem(answer: bytes) -> tuple[int, str]:
    """Return the status and the detail of a raw response, which has the headers of every response."""
    head, _, body = answer.partition(b"\r\n\r\n")
    for header in (b"application/problem+json", b"nosniff", b"Content-Security-Policy", b"Connection: close"):
        assert header in head, answer
    said = json.loads(body)
    assert said["status"] == int(head.split()[1])
    return said["status"], said["detail"]


def test_headers_that_do_not_arrive_are_waited_for_no_longer_than_is_said(
    serve: Serve,
) -> None:
    address = serve()
    with connected(address) as part, connected(address) as silent, connected(address) as again:
        part.sendall(b"GET / HTTP/1.1\r\nHost: he")
        again.sendall(REQUEST + b"GET / HT")
        assert is_served(address)
        expected = (408, "the headers of a request must arrive within 0.8 s: got a part. Send it again.")
        assert problem(read(part)) == expected
        assert read(silent) == b"", "a browser that connects in advance is told nothing"
        first, _, second = read(again).partition(b"done")
        assert first.startswith(b"HTTP/1.1 200")
        assert b"408" in second


def test_headers_that_come_a_byte_at_a_time_have_no_more_time(serve: Serve) -> None:
    with connected(serve()) as client:
        client.settimeout(0.05)
        start = time.monotonic()
        received = b""
        for byte in (b"GET / HTTP/1.1\r\nX: " + b"a" * 1000)[:200]:
            try:
                client.sendall(bytes([byte]))
                received = client.recv(4096)
                break
            except TimeoutError:
                continue
        assert problem(received)[0] == 408
        assert time.monotonic() - start < 5


def test_what_is_no_request_is_refused_in_the_schema(serve: Serve) -> None:
    address = serve()
    for nonsense in (b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nHost here\r\n\r\n"):
        with connected(address) as client:
            client.sendall(nonsense)
            assert problem(read(client))[0] == 400, nonsense


def test_a_client_that_takes_nothing_is_left_and_one_that_takes_slowly_is_not(
    serve: Serve,
) -> None:
    address = serve()
    with connected(address) as stalled, connected(address) as slow:
        for client in (stalled, slow):
            client.sendall(REQUEST.replace(b"/ ", b"/large "))
        taken, until = 0, time.monotonic() + 2.5  # several times what is waited for
        while time.monotonic() < until:
            taken += len(slow.recv(2**22))
            time.sleep(0.01)
        assert taken > 2**22
        assert slow.recv(1), "it is still served"
        assert len(read(stalled)) > 0, "it has what the buffers held, and an end"


def test_new_connections_close_idle_ones_of_their_source_and_of_no_other(
    serve: Serve,
) -> None:
    address = serve(per_source=3, seconds=30)
    with (
        connected(address) as first,
        connected(address) as second,
        connected(address, "127.0.0.2") as other,
        connected(address) as third,
        connected(address),
    ):
        assert read(first) == b"", "the oldest made room"
        for client in (second, third, other):
            client.sendall(REQUEST)
            assert client.recv(4096).startswith(b"HTTP/1.1 200")


def test_what_a_client_does_not_take_is_not_waited_for_when_its_connection_closes(serve: Serve) -> None:
    """It takes nothing of answers that fill the buffers of the system, and some of the server's, which stays below its
    limit for waiting."""
    address = serve(per_source=1)
    with socket.socket() as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.connect(address)
        stalled.sendall(REQUEST.replace(b"/ ", b"/half "))
        time.sleep(4)  # the deadline for taking it, and that for the next request
        with connected(address) as other:
            other.sendall(REQUEST)
            assert other.recv(4096).startswith(b"HTTP/1.1 200")
        received = read(stalled)
    assert len(received) < HALF, "it was not served to its end"


def test_bodies_that_do_not_come_make_room_for_whole_requests(serve: Serve) -> None:
    address = serve(per_source=2, seconds=30)
    with connected(address) as first, connected(address) as second:
        for client in (first, second):
            client.sendall(b"POST /body HTTP/1.1\r\nHost: here\r\nContent-Length: 10\r\n\r\n0")
        time.sleep(0.1)
        for _ in range(3):
            assert is_served(address)
        assert read(first) == b""


def test_a_source_whose_connections_are_all_in_use_is_refused_another(serve: Serve) -> None:
    address = serve(per_source=2, seconds=30)
    with connected(address) as one, connected(address) as two:
        for client in (one, two):
            client.sendall(REQUEST.replace(b"/ ", b"/slow "))
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
        with connected(address) as third:
            assert problem(read(third))[0] == 503
        assert is_served(address, "127.0.0.2")
    for _ in range(100):
        with connected(address) as later:
            later.sendall(REQUEST)
            if later.recv(4096).startswith(b"HTTP/1.1 200"):
                return
        time.sleep(0.02)
    raise AssertionError("connections that were closed still count")


def test_when_there_are_too_many_the_largest_source_makes_room(serve: Serve) -> None:
    address = serve(total=4, seconds=30)
    with connected(address, "127.0.0.2") as one, connected(address) as first, connected(address), connected(address):
        assert is_served(address, "127.0.0.3")
        assert read(first) == b""
        one.sendall(REQUEST)
        assert one.recv(4096).startswith(b"HTTP/1.1 200")
