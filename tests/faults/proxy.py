"""A TCP proxy before a database, which delays, cuts, refuses, or loses what comes back."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress
from pathlib import Path

RESET = struct.pack("ii", 1, 0)  # SO_LINGER that has close() reset the connection
PIECE = 65536


class Proxy:
    """Forwards connections to a Unix socket; the attributes say what it does to them from now on."""

    def __init__(self, target: Path) -> None:
        self.delay = 0.0  #: seconds before each piece is passed on, both ways
        self.refuses = False  #: new connections are closed at once
        self.loses_replies = False  #: what the database says is thrown away
        self._target = target
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Reset every connection."""
        for pair in list(self._pairs):
            self._close(pair)

    def heal(self) -> None:
        """Pass everything on again; connections that lost something are reset, as nobody can go on with them."""
        if self.loses_replies:
            self.cut()
        self.delay, self.refuses, self.loses_replies = 0.0, False, False

    def close(self) -> None:
        """Stop listening, and reset every connection."""
        self._listening.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            if self.refuses:
                client.close()
                continue
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(str(self._target))
            except OSError:
                client.close()
                continue
            pair = client, server
            self._pairs.add(pair)
            threading.Thread(target=self._pump, args=(client, server, pair, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, pair, True), daemon=True).start()

    def _pump(
        self, source: socket.socket, sink: socket.socket, pair: tuple[socket.socket, socket.socket], replies: bool
    ) -> None:
        with suppress(OSError):
            while piece := source.recv(PIECE):
                if self.delay:
                    time.sleep(self.delay)
                if not (replies and self.loses_replies):
                    sink.sendall(piece)
        self._close(pair)

    def _close(self, pair: tuple[socket.socket, socket.socket]) -> None:
        self._pairs.discard(pair)
        client, server = pair
        with suppress(OSError):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        for each in (client, server):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
