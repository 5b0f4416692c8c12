"""The proxy does to connections what its attributes say."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.proxy import Proxy


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    """A proxy before a server that answers with what it got."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "s"))
    listening.listen()

    def echo(connection: socket.socket) -> None:
        with connection:
            while piece := connection.recv(100):
                connection.sendall(piece)

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=echo, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    proxy = Proxy(tmp_path / "s")
    yield proxy
    proxy.close()
    listening.close()


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as client:
        yield client


def ask(client: socket.socket) -> bytes:
    client.sendall(b"question")
    return client.recv(100)


def is_lost(client: socket.socket) -> bool:
    try:
        return ask(client) == b""
    except ConnectionError:
        return True


def test_it_passes_on_what_it_is_not_told_to_keep(client: socket.socket) -> None:
    assert ask(client) == b"question"


def test_it_delays_both_ways(proxy: Proxy, client: socket.socket) -> None:
    proxy.delay = 0.2
    began = time.monotonic()
    assert ask(client) == b"question"
    assert time.monotonic() - began >= 0.4


def test_it_resets_connections(proxy: Proxy, client: socket.socket) -> None:
    assert ask(client) == b"question"
    proxy.cut()
    assert is_lost(client)


def test_it_refuses_new_connections_until_it_is_healed(proxy: Proxy) -> None:
    proxy.refuses = True
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as client:
        assert is_lost(client)
    proxy.heal()
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as client:
        assert ask(client) == b"question"


def test_it_loses_replies_and_then_the_connection(proxy: Proxy, client: socket.socket) -> None:
    proxy.loses_replies = True
    client.settimeout(0.3)
    with pytest.raises(TimeoutError):
        ask(client)
    proxy.heal()
    assert is_lost(client)
