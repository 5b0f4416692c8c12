"""The commands that make, run, steer and show searches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search.cli.flags import GridCommand, TuneCommand, complete_recipe, parse_integers
from search.cli.root import (
    ExportJson,
    Id,
    Json,
    JsonLines,
    app,
    find_search,
    given_settings,
    local_settings,
    one_of,
    program,
    read_request,
)
from search.vocabulary.errors import InvalidSpec
from search.vocabulary.exports import ExportTable
from search.vocabulary.states import Action, Status

if TYPE_CHECKING:
    from search.cli.fields import Request
    from search.settings import Settings

Download = Annotated[bool, typer.Option("--download", help="Download the recipe's data set first if it is missing.")]

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
    settings = local_settings("tune")
    _run_locally(settings, read_request(settings, context), download, json)


@app.command(cls=GridCommand)
def grid(context: typer.Context, download: Download = False, json: Json = False) -> None:
    """Run a grid search in the foreground: every pair of gm and gc. gc 0 is GhostNorm alone, gm 0 GroupNorm alone."""
    settings = local_settings("grid")
    request = read_request(settings, context)
    _run_locally(settings, replace(request, fields={**request.fields, "strategy": "grid"}), download, json)


def _run_locally(settings: Settings, request: Request, download: bool, json: bool) -> None:
    """Submit a search and run it."""
    from search.cli.foreground import run_locally

    if download:
        _download_data(request)
    raise typer.Exit(run_locally(settings, request.fields, json, program(), request.command))


def _download_data(request: Request) -> None:
    """Download a recipe's data set into the data folder."""
    from search.plan.recipes import find_recipe
    from trainers.recipe import RecipeError, resolve

    name = str(request.fields["recipe"])
    try:
        recipe = find_recipe(name, given_settings().home, request.command)
        if recipe.download is None:
            raise RecipeError(f"{name} has nothing to download: got --download. Leave it out.")
        resolve(recipe.download)(given_settings().home)
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
    settings, id = find_search(id, "resume")
    if settings.url:
        from search.cli.foreground import resume_remotely

        raise typer.Exit(resume_remotely(settings, id, json, program(), accept_code_change))
    from search.cli.foreground import resume_locally

    raise typer.Exit(resume_locally(settings, id, json, program(), accept_code_change))


@app.command(cls=TuneCommand)
def submit(context: typer.Context, json: Json = False) -> None:
    """Queue a search for a worker, and print its id."""
    from search.cli.control import submit as submit_search

    settings = given_settings()
    request = read_request(settings, context)
    submit_search(settings, request.fields, json, program(), request.command)


@app.command()
def watch(id: Id, json: Json = False) -> None:
    """Follow a search that a worker runs, until it ends or is paused; then print its result."""
    from search.cli.foreground import watch as watch_search

    settings, id = find_search(id)
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

    settings, id = find_search(id)
    raise typer.Exit(print_logs(settings, id, trial, follow, program(), json))


@app.command()
def pause(id: Id, json: Json = False) -> None:
    """Pause a search; finished trials are kept, and it can be resumed."""
    from search.cli.control import request_status

    settings, id = find_search(id, "pause")
    request_status(settings, id, Action.PAUSE, json)


@app.command()
def cancel(id: Id, json: Json = False) -> None:
    """Cancel a search permanently; finished trials are kept."""
    from search.cli.control import request_status

    settings, id = find_search(id, "cancel")
    request_status(settings, id, Action.CANCEL, json)


@app.command()
def retry(id: Id, json: Json = False) -> None:
    """Queue a search again to rerun its failed trials."""
    from search.cli.control import retry_failed

    settings, id = find_search(id, "retry")
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
    settings, id = find_search(id, "widen")
    widen_search(settings, id, more, json, program())


@app.command(cls=TuneCommand)
def plan(context: typer.Context, json: Json = False) -> None:
    """Count the trials of a search, and those of the other strategies; nothing is stored."""
    from search.cli.reading import print_plan

    settings = given_settings()
    request = read_request(settings, context)
    print_plan(settings, request.fields, json, request.command)


@app.command()
def export(
    id: Id,
    format: Annotated[
        str | None, typer.Option(help="csv, which is the default, or json.", autocompletion=lambda: [*FORMATS])
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write; stdout by default.")] = None,
    candidates: Annotated[
        bool,
        typer.Option("--candidates", help="Write the candidates instead: means, standard errors, n, failures, gains."),
    ] = False,
    json: ExportJson = False,
) -> None:
    """Write every trial of a search as CSV or JSON, or every candidate."""
    from search.cli.reading import export_table

    if format is not None:
        one_of("--format", format, FORMATS, FORMATS[0])
    if json and format == "csv":
        raise InvalidSpec("export writes one format: got --json and --format csv. Leave out one of them.")
    settings, id = find_search(id)
    table: ExportTable = "candidates" if candidates else "trials"
    export_table(settings, id, "json" if json or format == "json" else "csv", out, table)


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
        status=Status(one_of("--status", status, Status, "all")) if status is not None else None,
        owner=owner,
        tag=tag,
        recipe=recipe,
        name=name,
        archived=archived,
        sort=one_of("--sort", sort, SORTS, SORTS[0]),  # type: ignore[typeddict-item]  # it is one of them
    )
    list_searches(given_settings(), limit, filters, json, program())


@app.command()
def show(id: Id, json: Json = False) -> None:
    """Show a search: each stage's candidates, what was chosen and why, and the test table."""
    from search.cli.reading import show_search

    settings, id = find_search(id)
    show_search(settings, id, json, program())
