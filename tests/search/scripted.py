"""A small HTTP server whose answers a test writes down."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Received:
    """A request."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    content: bytes  #: the body as it came


Answer = Callable[[BaseHTTPRequestHandler], None]


class Scripted:
    """Answers requests in the order they come; the last answer is given ever after."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.received: list[Received] = []
        self.url = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Take a request down and answer it."""
        body = handler.rfile.read(int(handler.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        sent = json.loads(body) if body else None
        self.received.append(Received(handler.command, handler.path, headers, sent, body))
        (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])(handler)


@contextmanager
def serving(*answers: Answer) -> Iterator[Scripted]:
    """Run a server."""
    scripted = Scripted(*answers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            scripted.answer(self)

        do_GET = do_POST = do_PATCH = do_DELETE = answer

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    scripted.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield scripted
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def says(value: Any, status: int = 200, **headers: str) -> Answer:
    """Answer with a JSON value."""
    return text(json.dumps(value), status, "application/json", **headers)


def problem(status: int, detail: str, **headers: str) -> Answer:
    """Answer with a problem, as the service does."""
    return text(json.dumps({"status": status, "detail": detail}), status, "application/problem+json", **headers)


def text(said: str, status: int = 200, kind: str = "text/html", **headers: str) -> Answer:
    """Answer with a text."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        content = said.encode()
        handler.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def hangs_up(handler: BaseHTTPRequestHandler) -> None:
    """Close the connection without an answer."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def streams(*pieces: str, whole: bool = False, kind: str = "text/event-stream") -> Answer:
    """Send pieces of a body and close the connection, in the middle of the body unless ``whole``."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", kind)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for piece in pieces:
            content = piece.encode()
            handler.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
            handler.wfile.flush()
        if whole:
            handler.wfile.write(b"0\r\n\r\n")
        hangs_up(handler)

    return answer
