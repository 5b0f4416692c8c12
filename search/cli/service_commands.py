"""The commands that run until they are told to stop, and the tokens of a service: worker, serve, token."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from search.cli.root import app, given_settings, local_settings, wants_json


@app.command()
def worker(parent: Annotated[int | None, typer.Option(hidden=True)] = None) -> None:
    """Run queued searches, one after another by priority, until Ctrl-C or SIGTERM; several workers may run at once."""
    from search.cli.control import run_worker

    run_worker(local_settings("worker"), parent)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to bind.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to bind.")] = None,
    worker: Annotated[bool, typer.Option(help="Also run a worker; not needed if others run.")] = True,
) -> None:
    """Serve the dashboard and the REST API, and run what is submitted, until Ctrl-C."""
    import os

    from search.settings import to_environment

    settings = local_settings("serve", host=host, port=port, worker=None if worker else 0)
    os.environ.update(to_environment(settings))
    words = [sys.executable, "-P", "-m", "service"]  # `search` never imports `service`
    os.execv(sys.executable, words)  # noqa: S606  # nosec B606  # this interpreter, and no words of others


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
def token(context: typer.Context) -> None:
    """Create, list and revoke the tokens of a service: token create, token list, token revoke."""
    import os

    from search.settings import to_environment

    os.environ.update(to_environment(given_settings()))
    as_json = ["--json"] if wants_json() or "--json" in context.args else []
    own = [word for word in context.args if word != "--json"]
    words = [sys.executable, "-P", "-m", "service.accounts", *own, *as_json]
    # `search` never imports `service`
    os.execv(sys.executable, words)  # noqa: S606  # nosec B606  # this interpreter, with the caller's own words
