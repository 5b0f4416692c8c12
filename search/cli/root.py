"""What all commands share: the program, the options that may precede a command, and how they are read."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.models import OptionInfo

from search.cli.program import Program, takes_json
from search.vocabulary.errors import InvalidSpec
from trainers.near_misses import did_you_mean

if TYPE_CHECKING:
    from search.cli.fields import Request
    from search.settings import Settings

Value = TypeVar("Value")

app = typer.Typer(
    name="seqnorm",
    cls=Program,
    help="Tune GhostNorm and SeqNorm: group counts gm, then gc.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@dataclass
class _GlobalOptions:
    """The options that may precede a command."""

    home: Path | None = None
    db: str | None = None
    url: str | None = None
    json: bool = False


_global_options = _GlobalOptions()


def _keep(context: typer.Context, option: typer.CallbackParam, value: Value) -> Value:
    """Keep a global option; one that follows the command overrides one that precedes it."""
    if value not in (None, False) or context.parent is None:
        setattr(_global_options, str(option.name), value)
    return value


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"seqnorm {version('seqnorm')}")
        raise typer.Exit


def _complete_ids(incomplete: str) -> list[tuple[str, str]]:
    from search.cli.search_ids import complete

    try:
        return complete(given_settings(), incomplete)
    except Exception:  # a shell that completes words shows no errors
        return []


def _json_option(text: str) -> OptionInfo:
    option: OptionInfo = typer.Option("--json", help=text, callback=lambda given: given or _global_options.json)
    return option


Json = Annotated[bool, _json_option("Print one JSON object to stdout.")]
ExportJson = Annotated[bool, _json_option("The same as --format json.")]
JsonLines = Annotated[bool, _json_option("Print a JSON object for each line, with trial and text.")]
Id = Annotated[
    str,
    typer.Argument(
        help="Id of a search or its start, or last for the newest; seqnorm list shows them.",
        metavar="ID",
        autocompletion=_complete_ids,
    ),
]


@app.callback()
def options(
    context: typer.Context,
    home: Annotated[
        Path | None, typer.Option(help="Folder of the default database, checkpoints, logs, data.", callback=_keep)
    ] = None,
    db: Annotated[
        str | None, typer.Option(help="SQLAlchemy URL of the database.", metavar="URL", callback=_keep)
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            help="Address of a service to use instead of the local database; its token is SEQNORM_TOKEN.",
            metavar="URL",
            callback=_keep,
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON to stdout instead of text.", callback=_keep)] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Tune GhostNorm and SeqNorm: group counts gm, then gc."""
    command = str(context.invoked_subcommand)
    if json and command != "token" and not takes_json(context.command, command):
        raise InvalidSpec(f"--json must be given to a command that prints data: got it for {command}. Leave it out.")


def wants_json() -> bool:
    """Return whether ``--json`` precedes the command."""
    return _global_options.json


def read_request(settings: Settings, context: typer.Context) -> Request:
    """Return the search that a command line describes."""
    from search.cli.fields import make_request

    return make_request(context.obj, settings)


def one_of(flag: str, given: str, known: Iterable[str], otherwise: str) -> str:
    """Return a value that is known; ``otherwise`` is what leaving out the flag means.

    Raises:
        InvalidSpec: if it is not.
    """
    if given not in {*known}:
        rule = f"{flag} must be one of {', '.join(known)}"
        raise InvalidSpec(f"{rule}: got {given!r}. Leave it out for {otherwise}.{did_you_mean(given, known)}")
    return given


def given_settings(**given: Any) -> Settings:
    """Return the settings with the options that precede a command.

    Raises:
        InvalidSpec: if they name two databases.
    """
    from search.settings import read_settings

    if _global_options.url and _global_options.db:
        raise InvalidSpec("a command takes either --url or --db: got both. Leave out one of them.")
    local = _global_options.home or _global_options.db  # these flags override SEQNORM_URL
    url = "" if local and _global_options.url is None else _global_options.url
    return read_settings(home=_global_options.home, db=_global_options.db, url=url, **given)


def find_search(id: str, changing: str = "") -> tuple[Settings, str]:
    """Return the settings, and the whole id of the search that was named; ``changing`` is a command that changes it."""
    from search.cli.search_ids import find_id

    settings = given_settings()
    return settings, find_id(settings, id, changing)


def local_settings(command: str, **given: Any) -> Settings:
    """Return the settings of a command that only runs on this machine."""
    from search.cli.backends import require_local

    settings = given_settings(**given)
    require_local(settings, command)
    return settings


def program() -> str:
    """Return the command prefix that reaches the same database: the program as it was called, with its options.

    Passwords are replaced by [redacted], because hints are printed where others see them, on screens and in CI logs.
    To get hints that can be copied verbatim, put the password in SEQNORM_DB_FILE.
    """
    from search.vocabulary.secret import SecretUrl, redact

    called = Path(sys.argv[0])
    found = shutil.which("seqnorm")
    words = ["seqnorm" if found and Path(found).resolve() == called.resolve() else str(called)]
    db, url = SecretUrl(_global_options.db or ""), redact(_global_options.url or "")
    for flag, value in (("--home", _global_options.home), ("--db", db), ("--url", url)):
        words += [flag, str(value)] if value else []
    return shlex.join(words)
