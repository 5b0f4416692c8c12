"""``python -m service`` serves until Ctrl-C. ``seqnorm serve`` runs it."""

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
from service.event_notifier import EventNotifier
from service.middleware.loopback import is_loopback
from service.worker_process import WorkerProcess

log = logging.getLogger("service")

KEEP_ALIVE_SECONDS = 15
MAX_CONNECTIONS = 1000


def main() -> int:
    """Check the settings, migrate the database and serve it, with a worker process if the settings ask for one."""
    try:
        settings = read_settings()
        logs.configure(settings)
        require_free_port(settings)
        engine = open_store(settings.database_url, create=True)
        code = create_login_code(settings, engine)
        engine.dispose()
    except SearchError as error:
        logs.log_error(str(error))
        return 2
    print_address(settings, code)
    worker = WorkerProcess(settings) if settings.worker else None
    try:
        app = create_app(settings)
        Server(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                log_config=None,  # logs.set_up has configured its loggers
                log_level="warning",
                access_log=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=5,
                limit_concurrency=MAX_CONNECTIONS,
                server_header=False,
            ),
            app.state.notifier,
        ).run()
    except KeyboardInterrupt:  # uvicorn raises it again after its shutdown
        pass
    finally:
        if worker:
            worker.stop()
    return 0


def print_address(settings: Settings, code: str | None) -> None:
    """Print the address of the dashboard and how to log in. With JSON logs, log the address without the login code."""
    address = f"http://{settings.host}:{settings.port}"
    if settings.log_format == "json":
        log.info("serving on %s", address)
        return
    print(f"Dashboard: {address}  (stop with Ctrl-C)", file=sys.stderr, flush=True)
    if code:
        print(
            f"Log in with this link, once, within ten minutes: {address}/login?code={code}", file=sys.stderr, flush=True
        )
    else:
        print("Log in with a token; create one with: seqnorm token create", file=sys.stderr, flush=True)


class Server(uvicorn.Server):
    """A server that ends its event streams at shutdown; uvicorn would wait for them."""

    def __init__(self, config: uvicorn.Config, notifier: EventNotifier) -> None:
        super().__init__(config)
        self._notifier = notifier

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Shut down, at Ctrl-C and SIGTERM."""
        self._notifier.closing = True
        super().handle_exit(sig, frame)


def create_login_code(settings: Settings, engine: Engine) -> str | None:
    """Return the code of a login link for the token in the home folder. Create the first token if there is none.

    Return None if the service has tokens, but the one in the home folder is not among them.

    Raises:
        InvalidSpec: if the service has no token and other machines can reach it.
    """
    with engine.begin() as connection:
        active = [token for token in accounts.list_tokens(connection) if token.active]
        if not active:
            if not is_loopback(settings.host):
                raise InvalidSpec(
                    f"a service that other machines reach must have a token: got none, for {settings.host}. "
                    "Create one first: seqnorm token create"
                )
            token, text = accounts.create_token(
                connection, name="first start", owner=accounts.LOCAL_OWNER, scopes=["admin"], lifetime=None
            )
            accounts.record_action(
                connection, None, Action.CREATE_TOKEN, token.id, {"owner": token.owner, "scopes": ["admin"]}
            )
            write_secret(settings.token_file, text)
        try:
            own = accounts.authenticate_token(connection, settings.token_file.read_text().strip())
        except OSError:
            return None
        return accounts.create_login_link(connection, own) if own else None


def write_secret(file: Path, text: str) -> None:
    """Write a secret to a new file that only its owner can read."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)  # an existing file would keep its permissions
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(text + "\n")


def require_free_port(settings: Settings) -> None:
    """Refuse a port that cannot be bound.

    Raises:
        InvalidSpec: if it is in use or not a port.
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
