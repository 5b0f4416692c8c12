"""The commands, their flags and their help."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.models import OptionInfo

from search.cli.flags import CheckCommand, Data, GridCommand, Set, TuneCommand, complete_recipe, parse_integers
from search.cli.program import SHOW, NamedCommands, Program, RecipeCommands, takes_json
from search.vocabulary.errors import InvalidSpec
from search.vocabulary.states import Action, Status
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
        return complete(_settings(), incomplete)
    except Exception:  # a shell that completes words shows no errors
        return []


Recipe = Annotated[
    str,
    typer.Argument(
        help="Recipe to train; seqnorm recipes lists them.", metavar="RECIPE", autocompletion=complete_recipe
    ),
]
Download = Annotated[bool, typer.Option("--download", help="Download the recipe's data set first if it is missing.")]


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


EXAMPLES = """Examples:

  seqnorm tune train.py --gm 1,2,4,8 --gc 1,2,4 -- --lr 0.1 --data photos/

  seqnorm tune --gm 1,2 --gc 1,2 --metric val_acc -- python train.py --gm {gm} --gc {gc} --seed {seed} --out {folder}

  seqnorm tune mnist-simplenet --gm 1,8,64 --gc 1,2,4 --seeds 3

  seqnorm tune images --data photos/ --model timm:resnet26 --gm 1,2 --gc 2,4

  seqnorm tune digits-mlp --gm 1,4 --gc 1,2 --set epochs=3 --name short --tag try

  seqnorm tune -f search.yaml --seeds 5"""


@app.command(cls=TuneCommand, epilog=EXAMPLES)
def tune(context: typer.Context, download: Download = False, json: Json = False) -> None:
    """Run a search in the foreground; by default tune gm, keep the largest stable value, then tune gc."""
    settings = _local_settings("tune")
    _run_locally(settings, _request(settings, context), download, json)


@app.command(cls=GridCommand)
def grid(context: typer.Context, download: Download = False, json: Json = False) -> None:
    """Run a grid search in the foreground: every pair of gm and gc. gc 0 is GhostNorm alone, gm 0 GroupNorm alone."""
    settings = _local_settings("grid")
    request = _request(settings, context)
    _run_locally(settings, replace(request, fields={**request.fields, "strategy": "grid"}), download, json)


def _run_locally(settings: Settings, request: Request, download: bool, json: bool) -> None:
    """Submit a search and run it."""
    from search.cli.foreground import run_locally

    if download:
        _download_data(request)
    raise typer.Exit(run_locally(settings, request.fields, json, program(), request.command))


def _request(settings: Settings, context: typer.Context) -> Request:
    """Return the search that a command line describes."""
    from search.cli.fields import make_request

    return make_request(context.obj, settings)


def _download_data(request: Request) -> None:
    """Download a recipe's data set into the data folder."""
    from search.plan.recipes import find_recipe
    from trainers.recipe import RecipeError, resolve

    name = str(request.fields["recipe"])
    try:
        recipe = find_recipe(name, _settings().home, request.command)
        if recipe.download is None:
            raise RecipeError(f"{name} has nothing to download: got --download. Leave it out.")
        resolve(recipe.download)(_settings().home)
    except RecipeError as error:
        raise InvalidSpec(str(error)) from None


@app.command()
def init(
    script: Annotated[Path, typer.Argument(help="Python script that trains a model.", metavar="SCRIPT")],
    write: Annotated[bool, typer.Option("--write", help="Write the lines into the script.")] = False,
    json: Json = False,
) -> None:
    """Print the lines that a training script needs to be tuned, as a diff; it is changed with --write only."""
    from search.cli.init import init_script

    init_script(script, write, json, program())


@app.command()
def resume(
    id: Id,
    accept_code_change: Annotated[
        bool, typer.Option("--accept-code-change", help="Resume even if the code or the data have changed.")
    ] = False,
    json: Json = False,
) -> None:
    """Finish an interrupted search in the foreground; with --url, queue it for a worker of the service."""
    settings, id = _find(id, "resume")
    if settings.url:
        from search.cli.foreground import resume_remotely

        raise typer.Exit(resume_remotely(settings, id, json, program(), accept_code_change))
    from search.cli.foreground import resume_locally

    raise typer.Exit(resume_locally(settings, id, json, program(), accept_code_change))


@app.command(cls=TuneCommand)
def submit(context: typer.Context, json: Json = False) -> None:
    """Queue a search for a worker, and print its id."""
    from search.cli.control import submit as submit_search

    settings = _settings()
    request = _request(settings, context)
    submit_search(settings, request.fields, json, program(), request.command)


@app.command()
def worker(parent: Annotated[int | None, typer.Option(hidden=True)] = None) -> None:
    """Run queued searches, one after another by priority, until Ctrl-C or SIGTERM; several workers may run at once."""
    from search.cli.control import run_worker

    run_worker(_local_settings("worker"), parent)


@app.command()
def watch(id: Id, json: Json = False) -> None:
    """Follow a search that a worker runs, until it ends or is paused; then print its result."""
    from search.cli.foreground import watch as watch_search

    settings, id = _find(id)
    raise typer.Exit(watch_search(settings, id, json, program()))


@app.command()
def logs(
    id: Id,
    trial: Annotated[
        str | None, typer.Argument(help="STAGE/NUMBER; by default those that run, or the newest.", metavar="TRIAL")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the trial or the search ends.")] = False,
    json: JsonLines = False,
) -> None:
    """Print the logs of trials: what they print, and a line for each epoch."""
    from search.cli.logs import print_logs

    settings, id = _find(id)
    raise typer.Exit(print_logs(settings, id, trial, follow, program(), json))


@app.command()
def pause(id: Id, json: Json = False) -> None:
    """Pause a search; finished trials are kept, and it can be resumed."""
    from search.cli.control import request_status

    settings, id = _find(id, "pause")
    request_status(settings, id, Action.PAUSE, json)


@app.command()
def cancel(id: Id, json: Json = False) -> None:
    """Cancel a search permanently; finished trials are kept."""
    from search.cli.control import request_status

    settings, id = _find(id, "cancel")
    request_status(settings, id, Action.CANCEL, json)


@app.command()
def retry(id: Id, json: Json = False) -> None:
    """Queue a search again to rerun its failed trials."""
    from search.cli.control import retry_failed

    settings, id = _find(id, "retry")
    retry_failed(settings, id, json, program())


@app.command()
def widen(
    id: Id,
    gm: Annotated[str, typer.Option("--gm", help="More group counts along the mini-batch, e.g. 16,32.")] = "",
    gc: Annotated[str, typer.Option("--gc", help="More group counts along the channels, e.g. 8,16.")] = "",
    seeds: Annotated[int | None, typer.Option(help="Replicates of each point, more than before.")] = None,
    test_seeds: Annotated[
        int | None, typer.Option(help="Number of seeds of the final measurement, at least as before.")
    ] = None,
    json: Json = False,
) -> None:
    """Queue a child of a search with more values or seeds; it reuses its parent's finished trials."""
    from search.cli.control import widen as widen_search

    more: dict[str, Any] = {"gm": parse_integers("--gm", gm), "gc": parse_integers("--gc", gc)}
    more |= {"seeds": seeds or [], "test_seeds": test_seeds}
    settings, id = _find(id, "widen")
    widen_search(settings, id, more, json, program())


db_app = typer.Typer(cls=NamedCommands, help="The database.", no_args_is_help=True)
app.add_typer(db_app, name="db")


@db_app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="File to write; it must not exist.", metavar="FILE")], json: Json = False
) -> None:
    """Copy an SQLite database while searches run. The copy is a complete, consistent database."""
    from search.cli.output import print_json
    from search.store.backup import back_up

    settings = _local_settings("db")
    back_up(settings.database_url, file)
    if json:
        print_json({"file": str(file), "database": str(settings.database_url)})
    else:
        print(f"{file} has all of {settings.database_url}")


@db_app.command()
def upgrade(json: Json = False) -> None:
    """Bring the database's schema up to date, creating the database if there is none."""
    from search.cli.output import print_json
    from search.store.schema import upgrade as upgrade_schema

    settings = _local_settings("db")
    schema = upgrade_schema(settings.database_url)
    if json:
        print_json({"database": str(settings.database_url), "schema": schema})
    else:
        print(f"{settings.database_url} has schema {schema}")


@app.command("gc-files")
def gc_files(
    older_than: Annotated[float, typer.Option(min=0, help="Days since a search has ended.", metavar="DAYS")] = 30,
    unknown: Annotated[
        bool,
        typer.Option(
            "--unknown", help="Include folders of no search in this database; no other database may use them."
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove the files; without this they are only listed.")] = False,
    json: Json = False,
) -> None:
    """List or remove checkpoints and logs of searches that ended long ago; a chosen point's weights are kept."""
    from search.cli.retention import gc_files as collect

    collect(_local_settings("gc-files"), older_than, unknown, yes, json)


@app.command(cls=TuneCommand)
def plan(context: typer.Context, json: Json = False) -> None:
    """Count the trials of a search, and those of the other strategies; nothing is stored."""
    from search.cli.reading import print_plan

    settings = _settings()
    request = _request(settings, context)
    print_plan(settings, request.fields, json, request.command)


@app.command()
def export(
    id: Id,
    format: Annotated[
        str | None, typer.Option(help="csv, which is the default, or json.", autocompletion=lambda: [*FORMATS])
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write; stdout by default.")] = None,
    json: ExportJson = False,
) -> None:
    """Write every trial of a search as CSV or JSON."""
    from search.cli.reading import export_trials

    if format is not None:
        _one_of("--format", format, FORMATS, FORMATS[0])
    if json and format == "csv":
        raise InvalidSpec("export writes one format: got --json and --format csv. Leave out one of them.")
    settings, id = _find(id)
    export_trials(settings, id, "json" if json or format == "json" else "csv", out)


FORMATS = ("csv", "json")  # of an export
SORTS = ("-created", "created", "name", "-name")  # as the API has them
LIST_EXAMPLES = """Examples:

  seqnorm list --status running

  seqnorm list --recipe digits-mlp --tag night --owner ada --limit 10

  seqnorm list --name resnet --sort name --archived --json"""


@app.command("list", epilog=LIST_EXAMPLES)
def list_(
    status: Annotated[
        str | None,
        typer.Option(
            help="Only queued, running, paused, done, failed or cancelled ones.", autocompletion=lambda: [*Status]
        ),
    ] = None,
    owner: Annotated[str | None, typer.Option(help="Only those of an owner.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only those with a tag.")] = None,
    recipe: Annotated[str | None, typer.Option(help="Only those of a recipe.", autocompletion=complete_recipe)] = None,
    name: Annotated[str | None, typer.Option(help="Only those whose names contain this.")] = None,
    archived: Annotated[bool, typer.Option("--archived", help="The archived ones instead of the others.")] = False,
    sort: Annotated[
        str,
        typer.Option(help="-created for the newest first, created, name or -name.", autocompletion=lambda: [*SORTS]),
    ] = "-created",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many.")] = 50,
    json: Json = False,
) -> None:
    """List searches, newest first. Narrow terminals get fewer columns, never a part of an id."""
    from search.cli.backends import Filters
    from search.cli.reading import list_searches

    filters = Filters(
        status=Status(_one_of("--status", status, Status, "all")) if status is not None else None,
        owner=owner,
        tag=tag,
        recipe=recipe,
        name=name,
        archived=archived,
        sort=_one_of("--sort", sort, SORTS, SORTS[0]),  # type: ignore[typeddict-item]  # it is one of them
    )
    list_searches(_settings(), limit, filters, json, program())


def _one_of(flag: str, given: str, known: Iterable[str], otherwise: str) -> str:
    """Return a value that is known; ``otherwise`` is what leaving out the flag means.

    Raises:
        InvalidSpec: if it is not.
    """
    if given not in {*known}:
        rule = f"{flag} must be one of {', '.join(known)}"
        raise InvalidSpec(f"{rule}: got {given!r}. Leave it out for {otherwise}.{did_you_mean(given, known)}")
    return given


@app.command()
def show(id: Id, json: Json = False) -> None:
    """Show a search: each stage's candidates, what was chosen and why, and the test table."""
    from search.cli.reading import show_search

    settings, id = _find(id)
    show_search(settings, id, json, program())


CHECK_EXAMPLES = """Examples:

  seqnorm recipes check train.py --gm 2 --gc 1 -- --epochs 2

  seqnorm recipes check photos --set steps=20 --json"""

recipes_app = typer.Typer(
    cls=RecipeCommands,
    help="List the recipes; name one to see its numbers. Those of your own are files, recipes/NAME.toml in the home.",
    invoke_without_command=True,
    subcommand_metavar="[NAME] | [COMMAND] [ARGS]...",
)
app.add_typer(recipes_app, name="recipes")


@recipes_app.callback()
def recipes(context: typer.Context) -> None:
    """List the recipes if no command follows."""
    from search.cli.recipes import list_recipes

    if context.invoked_subcommand is None:
        list_recipes(_settings(), None, _global_options.json)


@recipes_app.command(SHOW)
def show_recipe(name: Recipe, json: Json = False) -> None:
    """Show a recipe with its numbers and presets; seqnorm recipes NAME is short for it."""
    from search.cli.recipes import list_recipes

    list_recipes(_settings(), name, json)


@recipes_app.command("check", cls=CheckCommand, epilog=CHECK_EXAMPLES)
def check_recipe(
    context: typer.Context,
    gm: Annotated[int, typer.Option(min=1, help="Groups along the mini-batch.")] = 2,
    gc: Annotated[int, typer.Option(min=0, help="Groups along the channels; 0 for GhostNorm.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of each trial.")] = 0,
    json: Json = False,
) -> None:
    """Run a script, a command or the recipe of a file three times here, briefly, and say what works."""
    from search.cli.recipe_check import Point, check

    settings = _local_settings("recipes check")
    raise typer.Exit(check(settings, _request(settings, context), Point(gm=gm, gc=gc, seed=seed), json))


@app.command()
def landscape(
    recipe: Recipe,
    gm: Annotated[str, typer.Option("--gm", help="Group counts of GhostNorm to measure.")] = "4,16,64,128",
    seed: Annotated[int, typer.Option(help="Seed of the training.")] = 0,
    set_: Set = None,
    data: Data = None,
    out: Annotated[Path, typer.Option(help="Folder for data and figures.")] = Path("landscape"),
    gradients: Annotated[
        bool, typer.Option(help="Measure the gradient along each step too; 2 to 3 times as long.")
    ] = True,
    processes: Annotated[int | None, typer.Option(min=1, help="Parallel trainings; one per CPU by default.")] = None,
    json: Json = False,
) -> None:
    """Measure the loss around every step of training, with and without norms, and draw it (the paper's Figure 6)."""
    from search.cli.fields import parse_assignments
    from search.cli.landscape import run_landscape
    from search.landscape.trainings import LandscapeRequest
    from trainers.recipe import RecipeError, find

    settings = _local_settings("landscape")
    try:
        found = find(recipe, settings.home)
    except RecipeError as error:
        raise InvalidSpec(str(error)) from None
    request = LandscapeRequest(
        recipe=found,
        gm=tuple(parse_integers("--gm", gm)),
        overrides=parse_assignments(set_ or []),
        seed=seed,
        data=str(Path(data).absolute()) if data else None,
        home=settings.home,
        gradients=gradients,
    )
    raise typer.Exit(run_landscape(request, out, processes, json))


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to bind.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to bind.")] = None,
    worker: Annotated[bool, typer.Option(help="Also run a worker; not needed if others run.")] = True,
) -> None:
    """Serve the dashboard and the REST API, and run what is submitted, until Ctrl-C."""
    import os

    from search.settings import to_environment

    settings = _local_settings("serve", host=host, port=port, worker=None if worker else 0)
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

    os.environ.update(to_environment(_settings()))
    as_json = ["--json"] if _global_options.json or "--json" in context.args else []
    own = [word for word in context.args if word != "--json"]
    words = [sys.executable, "-P", "-m", "service.accounts", *own, *as_json]
    # `search` never imports `service`
    os.execv(sys.executable, words)  # noqa: S606  # nosec B606  # this interpreter, with the caller's own words


def _settings(**given: Any) -> Settings:
    from search.settings import read_settings

    if _global_options.url and _global_options.db:
        raise InvalidSpec("a command takes either --url or --db: got both. Leave out one of them.")
    local = _global_options.home or _global_options.db  # these flags override SEQNORM_URL
    url = "" if local and _global_options.url is None else _global_options.url
    return read_settings(home=_global_options.home, db=_global_options.db, url=url, **given)


def _find(id: str, changing: str = "") -> tuple[Settings, str]:
    """Return the settings, and the whole id of the search that was named; ``changing`` is a command that changes it."""
    from search.cli.search_ids import find_id

    settings = _settings()
    return settings, find_id(settings, id, changing)


def _local_settings(command: str, **given: Any) -> Settings:
    """Return the settings of a command that only runs on this machine."""
    from search.cli.backends import require_local

    settings = _settings(**given)
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
