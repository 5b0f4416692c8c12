"""``submit``, ``worker``, ``pause``, ``cancel``, ``retry``, ``widen``: commands that submit and control searches."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Any, Literal

from search.cli.backends import make_backend
from search.cli.interruption import StopSignals
from search.cli.output import print_json, print_stderr, print_view
from search.engine import logs
from search.engine.cluster_address import check_settings
from search.engine.worker import Worker
from search.private_files import require_home
from search.settings import Settings
from search.store.database import Engine
from search.store.opening import open_store
from search.store.patience import Patience
from search.vocabulary.formatting import format_trials
from search.vocabulary.states import Action, Status

if TYPE_CHECKING:
    from search.actions.webhooks import Senders
    from trainers.commands.command import Command


def submit(
    settings: Settings, fields: dict[str, Any], json: bool, program: str = "seqnorm", command: Command | None = None
) -> None:
    """Queue a search.

    Raises:
        InvalidSpec: if the search cannot be run; nothing is stored then.
    """
    search_id = make_backend(settings).submit(fields, command)
    if command:
        print_stderr(f"Only a worker of this user on this host runs it. Start one with: {program} worker")
    if json:
        print_json({"search": search_id, "status": Status.QUEUED})
    else:
        print(search_id)


def run_worker(settings: Settings, parent: int | None = None) -> None:
    """Run queued searches until a signal arrives or the process ``parent`` ends."""
    stopping = threading.Event()
    with StopSignals() as signals:
        try:
            logs.configure(settings)
            require_home(settings.home)
            check_settings(settings)
            create = parent is None  # else the parent has created it
            patiently = Patience(settings.outage_seconds)
            engine = patiently(lambda _: open_store(settings.database_url, create=create))
            worker = Worker(settings, engine, stopping)

            def stop() -> None:
                threading.Thread(target=stopping.set).start()  # here it could wait for the code it interrupts
                if signals.hurry:
                    worker.kill_drivers()

            signals.on_receive = stop
        except KeyboardInterrupt:  # nothing to leave yet
            return
        if parent is not None:
            threading.Thread(target=_stop_when_orphaned, args=(parent, stopping), daemon=True).start()
        logging.getLogger(__name__).info("working on %s; Ctrl-C ends it", settings.database_url)
        senders = _senders(settings, engine)
        worker.serve()
        if senders:
            senders.stop()
        engine.dispose()


def _senders(settings: Settings, engine: Engine) -> Senders | None:
    if not settings.webhook_urls:
        return None
    from search.actions.webhooks import Senders  # imports an HTTP client

    return Senders(settings, engine)


def _stop_when_orphaned(parent: int, stopping: threading.Event) -> None:
    while os.getppid() == parent and not stopping.wait(1):
        pass
    stopping.set()


def request_status(
    settings: Settings, search_id: str, action: Literal[Action.PAUSE, Action.CANCEL], json: bool
) -> None:
    """Request that a search is paused or cancelled."""
    answer = make_backend(settings).request(search_id, action)
    if json:
        print_view(answer)
    else:
        requested = f", {answer.requested_status} is requested" if answer.requested_status else ""
        print(f"{search_id} is {answer.status}{requested}")


def retry_failed(settings: Settings, search_id: str, json: bool, program: str) -> None:
    """Queue a search again to rerun its failed trials."""
    answer = make_backend(settings).retry(search_id)
    if json:
        print_view(answer)
        return
    where = f", in its child {answer.search}, as a decided stage is not changed" if answer.parent else ""
    runs = "runs" if answer.trials == 1 else "run"
    rerun = f"{format_trials(answer.trials or 0)} of {search_id} {runs} again{where}."
    print(f"{rerun}{_next_step(settings, answer.search, program)}")


def widen(settings: Settings, search_id: str, more: dict[str, Any], json: bool, program: str) -> None:
    """Queue a child of a search with more values or seeds."""
    answer = make_backend(settings).widen(search_id, more)
    if json:
        print_view(answer)
        return
    print(answer.search)
    print_stderr(f"It reuses the finished trials of {search_id}.{_next_step(settings, answer.search, program)}")


def _next_step(settings: Settings, search_id: str, program: str) -> str:
    return "" if settings.url else f" A worker takes it up, or: {program} resume {search_id}"
