"""``python -m service``: serve until Ctrl-C. ``seqnorm serve`` starts this."""

from __future__ import annotations

import ipaddress
import socket
import sys

import uvicorn

from search.errors import InvalidSpec, SearchError
from search.settings import Settings, read_settings
from search.store.opening import open_store
from service.app import create_app


def main() -> int:
    """Check the settings, bring the database up to date, and serve it."""
    try:
        settings = read_settings()
        require_loopback(settings)
        require_free_port(settings)
        open_store(settings.database_url, create=True).dispose()
    except SearchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"Dashboard: http://{settings.host}:{settings.port}  (Ctrl-C ends it)", file=sys.stderr, flush=True)
    uvicorn.run(create_app(settings), host=settings.host, port=settings.port, log_level="warning")
    return 0


def require_loopback(settings: Settings) -> None:
    """Refuse to be reachable from other machines: there is no login yet.

    Raises:
        InvalidSpec: if the host is not a loopback address.
    """
    try:
        loopback = settings.host == "localhost" or ipaddress.ip_address(settings.host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise InvalidSpec(
            f"the host must be a loopback address, as the service has no login yet: got {settings.host}. "
            "Use 127.0.0.1, and an ssh tunnel from other machines."
        )


def require_free_port(settings: Settings) -> None:
    """Refuse a port that cannot be bound.

    Raises:
        InvalidSpec: if it is taken, or no port.
    """
    try:
        with socket.create_server((settings.host, settings.port)):
            return
    except (OSError, OverflowError) as error:
        raise InvalidSpec(
            f"the port must be free: got {settings.port} on {settings.host} ({error}). Choose another with --port."
        ) from None


if __name__ == "__main__":
    sys.exit(main())
