"""Serve the dashboard and the REST API, with a worker process if the settings ask for one."""

from __future__ import annotations

import logging
import os
import resource
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import uvicorn

from search.cli.interruption import StopSignals
from search.engine import logs, working_folder
from search.engine.cluster_address import check_settings
from search.private_files import make_private_folder, make_private_home, require_home
from search.settings import Settings, read_settings
from search.store.database import DatabaseError, Engine, open_engine
from search.store.faults import Fault, database_message, find_fault
from search.store.opening import open_store
from search.vocabulary.errors import InvalidSpec, SearchError
from search.vocabulary.states import Action
from service import accounts
from service.app import create_app
from service.connection import BoundedState, Connection, ConnectionTable
from service.event_notifier import EventNotifier
from service.middleware.loopback import is_loopback
from service.worker_process import WorkerProcess

log = logging.getLogger("service")

LOCK_SECONDS = 30.0  # that a start waits for another process to end its write
KEEP_ALIVE_SECONDS = 15
OPEN_FILES = 8192  # that are allowed if the system agrees: a connection is one


def serve(signals: StopSignals) -> int:
    """Check the settings, migrate the database and serve it until a signal; return the exit code."""
    try:
        settings = read_settings()
        logs.configure(settings)
        if settings.worker:
            require_home(settings.home)
            check_settings(settings)
        require_free_port(settings)
        with suppress(OSError):  # what needs the home folder says what is wrong with it
            make_private_home(settings.home, chosen=not settings.home_is_default)
            working_folder.enter(settings.home)
        open_store(settings.database_url, create=True).dispose()
        code = wait_for_writers(settings)
    except SearchError as error:
        logs.log_error(str(error))
        return 2
    except DatabaseError as error:
        logs.log_error(database_message(error) or "")
        return 2
    print_address(settings, code)
    signals.only_count()
    worker = WorkerProcess(settings) if settings.worker else None
    allow_open_files()
    try:
        app = create_app(settings)
        Server(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                log_config=None,  # logs.configure has configured its loggers
                log_level="warning",
                access_log=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=5,
                http=Connection,
                ws="none",
                server_header=False,
            ),
            app.state.notifier,
            signals,
            ConnectionTable(settings.connections_per_source),
        ).run()
    finally:
        signals.only_count()
        if worker:
            worker.stop(lambda: signals.hurry)
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
        print(
            "Log in with a token; create one with: seqnorm token create NAME --owner OWNER", file=sys.stderr, flush=True
        )


class Server(uvicorn.Server):
    """A server that ends at our signals, and ends its event streams then; uvicorn would wait for them."""

    def __init__(
        self, config: uvicorn.Config, notifier: EventNotifier, signals: StopSignals, connections: ConnectionTable
    ) -> None:
        super().__init__(config)
        self.server_state = BoundedState(connections)
        self._notifier = notifier
        self._signals = signals

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Shut down at a signal. uvicorn raises it again afterwards, and SIGTERM then ends this process at once."""
        self._signals.on_receive = self._shut_down
        if self._signals.received:  # before there was a server to shut down
            self._shut_down()
        yield

    def _shut_down(self) -> None:
        self._notifier.closing = self.should_exit = True
        self.force_exit = self._signals.hurry


def allow_open_files() -> None:
    """Raise this process's limit of open files, which is often lower than the number of connections it allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def wait_for_writers(settings: Settings) -> str | None:
    """Return what :func:`create_login_code` does. While another process holds a lock, say so and try again.

    Raises:
        DatabaseError: if it does so for ``LOCK_SECONDS``.
    """
    engine = open_engine(settings.database_url, wait_seconds=1.0)  # a signal is noticed between two attempts
    deadline, announced = time.monotonic() + LOCK_SECONDS, False
    try:
        while True:
            try:
                return create_login_code(settings, engine)
            except DatabaseError as error:
                if find_fault(error) is not Fault.LOCKED or time.monotonic() > deadline:
                    raise
            if not announced:
                log.warning("the database is locked by another process; trying for %g s to write to it", LOCK_SECONDS)
            announced = True
    finally:
        engine.dispose()


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
                    "Create one first: seqnorm token create NAME --owner OWNER --scopes admin"
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
    make_private_folder(file.parent)
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
