"""The commands, their flags and their help."""

from __future__ import annotations

import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search.cli.flags import GridCommand, PlanCommand, TuneCommand, parse_integers
from search.vocabulary.errors import InvalidSpec
from search.vocabulary.states import Action

if TYPE_CHECKING:
    from search.settings import Settings

app = typer.Typer(
    name="seqnorm",
    help="Tune GhostNorm and SeqNorm: group counts gm, then gc.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@dataclass
class _GlobalOptions:
    """The options that precede a command."""

    home: Path | None = None
    db: str | None = None
    url: str | None = None


_global_options = _GlobalOptions()

Recipe = Annotated[str, typer.Argument(help="Recipe to train; seqnorm recipes lists them.", metavar="RECIPE")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="Override a recipe's number: NAME=VALUE; may be repeated.")
]
Data = Annotated[
    str | None, typer.Option(help="Your images, where the recipe takes a choice: an .npz with x and y, or a folder.")
]
Model = Annotated[
    str | None, typer.Option(help="Network of the recipe images: torchvision:NAME or timm:NAME.", metavar="NAME")
]
Preset = Annotated[str | None, typer.Option(help="One of the recipe's named sets of numbers; --set overrides it.")]
Download = Annotated[bool, typer.Option("--download", help="Download the recipe's data set first if it is missing.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")]
Id = Annotated[str, typer.Argument(help="Id of a search; seqnorm list shows them.", metavar="ID")]


@app.callback()
def options(
    home: Annotated[Path | None, typer.Option(help="Folder of the default database, checkpoints, logs, data.")] = None,
    db: Annotated[str | None, typer.Option(help="SQLAlchemy URL of the database.", metavar="URL")] = None,
    url: Annotated[
        str | None,
        typer.Option(
            help="Address of a service to use instead of the local database; its token is SEQNORM_TOKEN.", metavar="URL"
        ),
    ] = None,
) -> None:
    """Tune GhostNorm and SeqNorm: group counts gm, then gc."""
    _global_options.home, _global_options.db, _global_options.url = home, db, url


@app.command(cls=TuneCommand)
def tune(
    context: typer.Context,
    recipe: Recipe,
    preset: Preset = None,
    set_: Set = None,
    model: Model = None,
    data: Data = None,
    download: Download = False,
    json: Json = False,
) -> None:
    """Run a search in the foreground; by default tune gm, keep the largest stable value, then tune gc."""
    fields = {**context.obj, "numbers": _recipe_numbers(recipe, preset, set_, model)}
    _run_locally("tune", recipe, fields, data, download, json)


@app.command(cls=GridCommand)
def grid(
    context: typer.Context,
    recipe: Recipe,
    preset: Preset = None,
    set_: Set = None,
    model: Model = None,
    data: Data = None,
    download: Download = False,
    json: Json = False,
) -> None:
    """Run a grid search in the foreground: every pair of gm and gc. gc 0 is GhostNorm."""
    fields = {**context.obj, "strategy": "grid", "numbers": _recipe_numbers(recipe, preset, set_, model)}
    _run_locally("grid", recipe, fields, data, download, json)


def _run_locally(
    command: str, recipe: str, fields: dict[str, Any], data: str | None, download: bool, json: bool
) -> None:
    """Submit a search and run it."""
    from search.cli.foreground import run_locally

    settings = _local_settings(command)
    if download:
        _download_data(recipe)
    given = {**fields, "recipe": recipe, **({"data": str(Path(data).absolute())} if data else {})}
    raise typer.Exit(run_locally(settings, given, json, program()))


def _recipe_numbers(recipe: str, preset: str | None, set_: list[str] | None, model: str | None) -> dict[str, object]:
    """Return the recipe's numbers that flags override."""
    overrides = [*(set_ or []), *([f"model={model}"] if model else [])]
    return {**_preset_numbers(recipe, preset), **parse_assignments(overrides)}


def _preset_numbers(name: str, preset: str | None) -> dict[str, object]:
    """Return the numbers of a recipe's preset."""
    from trainers.recipe import RecipeError, find

    if preset is None:
        return {}
    try:
        presets = find(name).presets
    except RecipeError as error:
        raise InvalidSpec(str(error)) from None
    if preset not in presets:
        raise InvalidSpec(
            f"{name} has no preset {preset}: got --preset {preset}. Known: {', '.join(presets) or 'none'}."
        )
    return dict(presets[preset])


def _download_data(name: str) -> None:
    """Download a recipe's data set into the data folder."""
    from trainers.recipe import RecipeError, find, resolve

    try:
        recipe = find(name)
        if recipe.download is None:
            raise RecipeError(f"{name} has nothing to download: got --download. Leave it out.")
        resolve(recipe.download)(_settings().home)
    except RecipeError as error:
        raise InvalidSpec(str(error)) from None


@app.command()
def resume(
    id: Id,
    accept_code_change: Annotated[
        bool, typer.Option("--accept-code-change", help="Resume even if the code or the data have changed.")
    ] = False,
    json: Json = False,
) -> None:
    """Finish an interrupted search in the foreground; with --url, queue it for a worker of the service."""
    settings = _settings()
    if settings.url:
        from search.cli.foreground import resume_remotely

        raise typer.Exit(resume_remotely(settings, id, json, program(), accept_code_change))
    from search.cli.foreground import resume_locally

    raise typer.Exit(resume_locally(settings, id, json, program(), accept_code_change))


@app.command()
def submit(
    file: Annotated[Path, typer.Option("--file", "-f", help="YAML file with the fields of a search.")],
    json: Json = False,
) -> None:
    """Queue a search for a worker, and print its id."""
    from search.cli.control import submit_file

    submit_file(_settings(), file, json)


@app.command()
def worker(parent: Annotated[int | None, typer.Option(hidden=True)] = None) -> None:
    """Run queued searches, one after another by priority, until Ctrl-C or SIGTERM; several workers may run at once."""
    from search.cli.control import run_worker

    run_worker(_local_settings("worker"), parent)


@app.command()
def watch(id: Id, json: Json = False) -> None:
    """Follow a search that a worker runs, until it ends or is paused; then print its result."""
    from search.cli.foreground import watch as watch_search

    raise typer.Exit(watch_search(_settings(), id, json, program()))


@app.command()
def pause(id: Id, json: Json = False) -> None:
    """Pause a search; finished trials are kept, and it can be resumed."""
    from search.cli.control import request_status

    request_status(_settings(), id, Action.PAUSE, json)


@app.command()
def cancel(id: Id, json: Json = False) -> None:
    """Cancel a search permanently; finished trials are kept."""
    from search.cli.control import request_status

    request_status(_settings(), id, Action.CANCEL, json)


@app.command()
def retry(id: Id, json: Json = False) -> None:
    """Queue a search again to rerun its failed trials."""
    from search.cli.control import retry_failed

    retry_failed(_settings(), id, json, program())


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
    widen_search(_settings(), id, more, json, program())


db_app = typer.Typer(help="The database.", no_args_is_help=True)
app.add_typer(db_app, name="db")


@db_app.command()
def backup(file: Annotated[Path, typer.Argument(help="File to write; it must not exist.", metavar="FILE")]) -> None:
    """Copy an SQLite database while searches run. The copy is a complete, consistent database."""
    from search.store.backup import back_up

    settings = _local_settings("db")
    back_up(settings.database_url, file)
    print(f"{file} has all of {settings.database_url}")


@db_app.command()
def upgrade() -> None:
    """Bring the database's schema up to date, creating the database if there is none."""
    from search.store.schema import upgrade as upgrade_schema

    settings = _local_settings("db")
    print(f"{settings.database_url} has schema {upgrade_schema(settings.database_url)}")


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


@app.command(cls=PlanCommand)
def plan(
    context: typer.Context,
    recipe: Annotated[str | None, typer.Argument(help="Recipe to train.", metavar="RECIPE")] = None,
    preset: Preset = None,
    set_: Set = None,
    model: Model = None,
    data: Data = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="YAML file with the fields of a search.")] = None,
    json: Json = False,
) -> None:
    """Count the trials of a search, and those of the other strategies; nothing is stored."""
    from search.cli.control import read_file
    from search.cli.reading import print_plan

    if file is not None:
        if recipe or "gm" in context.obj or "gc" in context.obj:
            raise InvalidSpec("plan takes one search: got flags beside -f. Leave out one of them.")
        print_plan(_settings(), read_file(file), json)
        return
    if recipe is None:
        raise InvalidSpec("plan needs a search: got neither a recipe nor a file. Give RECIPE --gm 1,2 --gc 1,2, or -f.")
    fields = {**context.obj, "recipe": recipe, "numbers": _recipe_numbers(recipe, preset, set_, model)}
    print_plan(_settings(), {**fields, **({"data": data} if data else {})}, json)


@app.command()
def export(
    id: Id,
    format: Annotated[str, typer.Option(help="csv or json.")] = "csv",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write; stdout by default.")] = None,
) -> None:
    """Write every trial of a search as CSV or JSON."""
    from search.cli.reading import export_trials

    if format not in ("csv", "json"):
        raise InvalidSpec(f"--format must be csv or json: got {format!r}. Leave it out for csv.")
    export_trials(_settings(), id, "json" if format == "json" else "csv", out)


@app.command("list")
def list_(
    status: Annotated[
        str | None, typer.Option(help="Only queued, running, paused, done, failed or cancelled ones.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 50,
    json: Json = False,
) -> None:
    """List searches, newest first."""
    from search.cli.reading import list_searches

    list_searches(_settings(), status, limit, json, program())


@app.command()
def show(id: Id, json: Json = False) -> None:
    """Show a search: each stage's candidates, what was chosen and why, and the test table."""
    from search.cli.reading import show_search

    show_search(_settings(), id, json, program())


@app.command()
def recipes(
    name: Annotated[str | None, typer.Argument(help="Only this one, with its numbers and presets.")] = None,
    json: Json = False,
) -> None:
    """List the recipes that are installed; name one to see its numbers."""
    from search.cli.reading import list_recipes

    list_recipes(_settings(), name, json)


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
    from search.cli.landscape import run_landscape
    from search.landscape.trainings import LandscapeRequest
    from trainers.recipe import RecipeError, find

    try:
        found = find(recipe)
    except RecipeError as error:
        raise InvalidSpec(str(error)) from None
    request = LandscapeRequest(
        recipe=found,
        gm=tuple(parse_integers("--gm", gm)),
        overrides=parse_assignments(set_ or []),
        seed=seed,
        data=str(Path(data).absolute()) if data else None,
        home=_local_settings("landscape").home,
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
    words = [sys.executable, "-m", "service"]  # `search` never imports `service`
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
    words = [sys.executable, "-m", "service.accounts", *context.args]
    # `search` never imports `service`
    os.execv(sys.executable, words)  # noqa: S606  # nosec B606  # this interpreter, with the caller's own words


def _settings(**given: Any) -> Settings:
    from search.settings import read_settings

    if _global_options.url and _global_options.db:
        raise InvalidSpec("a command takes either --url or --db: got both. Leave out one of them.")
    local = _global_options.home or _global_options.db  # these flags override SEQNORM_URL
    url = "" if local and _global_options.url is None else _global_options.url
    return read_settings(home=_global_options.home, db=_global_options.db, url=url, **given)


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


def parse_assignments(pairs: list[str]) -> dict[str, str]:
    """Read ``NAME=VALUE`` pairs.

    Raises:
        InvalidSpec: if a pair is malformed, or a name is given twice.
    """
    from trainers.assignments import read_assignments
    from trainers.recipe import RecipeError

    try:
        return read_assignments(pairs)
    except RecipeError as error:
        raise InvalidSpec(str(error)) from None
