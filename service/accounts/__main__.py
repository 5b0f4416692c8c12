"""``python -m service.accounts`` is ``seqnorm token``: create, list and revoke the tokens of a service."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from search.cli.exit_codes import EXIT_BUSY, EXIT_INPUT, EXIT_OK
from search.cli.output import print_table, print_view, print_views
from search.cli.streams import ExitCode, run_program
from search.client import Client
from search.settings import Settings, read_settings
from search.store.database import Connection, DatabaseError
from search.store.faults import database_message
from search.store.opening import open_store
from search.views import NewTokenView
from search.vocabulary.errors import Conflict, SearchError
from search.vocabulary.states import Action
from service import accounts
from service.accounts.tokens import to_view

DAY_SECONDS = 24 * 3600.0

app = typer.Typer(
    name="seqnorm token",
    help="Create, list and revoke the tokens of a service.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value to stdout.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for, e.g. ada-laptop.")],
    owner: Annotated[str, typer.Option(help="Whose searches it submits and steers.")],
    scopes: Annotated[str, typer.Option(help="Comma-separated: read, submit, manage, admin.")] = "read,submit",
    days: Annotated[float, typer.Option(min=0, help="Days until it expires; 0 for never.")] = 90,
    json: Json = False,
) -> None:
    """Create a token and print it. It cannot be shown again."""
    settings, chosen = read_settings(), [scope.strip() for scope in scopes.split(",")]
    if settings.url:
        with _client(settings) as client:
            created = client.create_token(name, owner=owner, scopes=chosen, days=days or None)
    else:
        with _store(settings) as connection:
            lifetime = days * DAY_SECONDS if days else None
            token, text = accounts.create_token(connection, name=name, owner=owner, scopes=chosen, lifetime=lifetime)
            accounts.record_action(
                connection, None, Action.CREATE_TOKEN, token.id, {"owner": owner, "scopes": list(token.scopes)}
            )
            created = NewTokenView(token=to_view(token), text=text)
    if json:
        print_view(created)
        return
    print(f"Token {created.token.id} of {owner}; this is shown once:", file=sys.stderr)
    print(created.text)


@app.command("list")
def list_(json: Json = False) -> None:
    """List all tokens, revoked and expired ones included, without their secrets."""
    settings = read_settings()
    if settings.url:
        with _client(settings) as client:
            tokens = client.tokens()
    else:
        with _store(settings, create=False) as connection:
            tokens = [to_view(token) for token in accounts.list_tokens(connection)]
    if json:
        print_views(tokens)
        return
    if not tokens:
        print("No tokens yet.")
        return
    table = Table(box=None, header_style="dim")
    for column in ("id", "name", "owner", "scopes", "expires", "last used", ""):
        table.add_column(column)
    for token in tokens:
        state = "" if token.active else "revoked" if token.revoked_at else "expired"
        dates = (_day(token.expires_at, "never"), _day(token.last_used_at, "–"))
        table.add_row(token.id, token.name, token.owner, ", ".join(token.scopes), *dates, state)
    print_table(table)


@app.command()
def revoke(id: Annotated[str, typer.Argument(help="Id of a token; seqnorm token list shows them.")]) -> None:
    """Revoke a token and end its sessions."""
    settings = read_settings()
    if settings.url:
        with _client(settings) as client:
            client.revoke_token(id)
    else:
        with _store(settings, create=False) as connection:
            accounts.revoke_token(connection, id)
            accounts.record_action(connection, None, Action.REVOKE_TOKEN, id, {})
    print(f"{id} is revoked")


def main() -> ExitCode:
    """Run the program; return its exit code."""
    return run_program(_run)


def _run() -> int:
    try:
        app(prog_name="seqnorm token")
    except SearchError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BUSY if isinstance(error, Conflict) else EXIT_INPUT
    except DatabaseError as error:
        print(f"error: {database_message(error)}", file=sys.stderr)
        return EXIT_INPUT
    return EXIT_OK


def _client(settings: Settings) -> Client:
    return Client(settings.url, settings.token_for(settings.url).reveal())


@contextmanager
def _store(settings: Settings, create: bool = True) -> Iterator[Connection]:
    engine = open_store(settings.database_url, create=create)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def _day(moment: float | None, otherwise: str) -> str:
    return otherwise if moment is None else datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")


if __name__ == "__main__":
    sys.exit(main())
