"""``python -m service``: serve until Ctrl-C. ``seqnorm serve`` starts this."""

from __future__ import annotations

import logging
import os
import socket
import sys
from pathlib import Path
from types import FrameType

import uvicorn

from search.engine import logs
from search.settings import Settings, read_settings
from search.store.database import Engine
from search.store.opening import open_store
from search.vocabulary.errors import InvalidSpec, SearchError
from search.vocabulary.states import Action
from service import accounts
from service.app import create_app
from service.followers import Follower
from service.middleware.loopback import is_loopback
from service.worker_process import WorkerProcess

log = logging.getLogger("service")

KEEP_ALIVE_SECONDS = 15
MAX_CONNECTIONS = 1000


def main() -> int:
    """Check the settings, bring the database up to date, and serve it, with a worker unless there are others."""
    try:
        settings = read_settings()
        logs.configure(settings)
        require_free_port(settings)
        engine = open_store(settings.database_url, create=True)
        code = first_login(settings, engine)
        engine.dispose()
    except SearchError as error:
        logs.log_error(str(error))
        return 2
    greet(settings, code)
    worker = WorkerProcess(settings) if settings.worker else None
    try:
        app = create_app(settings)
        Server(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                log_config=None,  # its loggers are ours
                log_level="warning",
                access_log=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=5,
                limit_concurrency=MAX_CONNECTIONS,
                server_header=False,
            ),
            app.state.follower,
        ).run()
    except KeyboardInterrupt:  # uvicorn raises it again once it has ended
        pass
    finally:
        if worker:
            worker.stop()
    return 0


def greet(settings: Settings, code: str | None) -> None:
    """Say where the dashboard is and how one logs in: a link for who sees this terminal, none for who keeps logs."""
    address = f"http://{settings.host}:{settings.port}"
    if settings.log_format == "json":
        log.info("serving on %s", address)
        return
    print(f"Dashboard: {address}  (Ctrl-C ends it)", file=sys.stderr, flush=True)
    if code:
        print(f"Log in, once and within ten minutes, with: {address}/login?code={code}", file=sys.stderr, flush=True)
    else:
        print("Log in with a token; seqnorm token create makes one.", file=sys.stderr, flush=True)


class Server(uvicorn.Server):
    """A server whose streams end when it does; they would otherwise keep it waiting."""

    def __init__(self, config: uvicorn.Config, follower: Follower) -> None:
        super().__init__(config)
        self._follower = follower

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End: at Ctrl-C and SIGTERM."""
        self._follower.ending = True
        super().handle_exit(sig, frame)


def first_login(settings: Settings, engine: Engine) -> str | None:
    """Return the code of a login link, for who can see this machine's terminal; make a first token if there is none.

    The link is for the token in the home folder. Nothing is returned where the service has tokens and that is none of
    them.

    Raises:
        InvalidSpec: if other machines could reach a service that has no token.
    """
    with engine.begin() as connection:
        known = [token for token in accounts.list_tokens(connection) if token.active]
        if not known:
            if not is_loopback(settings.host):
                raise InvalidSpec(
                    f"a service that other machines reach must have a token: got none, for {settings.host}. "
                    "Make one first: seqnorm token create"
                )
            token, text = accounts.create_token(
                connection, name="first start", owner=accounts.NOBODY, scopes=["admin"], lasts=None
            )
            accounts.record(
                connection, None, Action.CREATE_TOKEN, token.id, {"owner": token.owner, "scopes": ["admin"]}
            )
            keep(settings.token_file, text)
        try:
            own = accounts.token_of(connection, settings.token_file.read_text().strip())
        except OSError:
            return None
        return accounts.open_link(connection, own) if own else None


def keep(file: Path, text: str) -> None:
    """Write a secret into a file that nobody else can read."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)  # another's rights to it would stay
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(text + "\n")


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
