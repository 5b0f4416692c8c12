"""The commands about what is stored: db, gc-files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.cli.program import NamedCommands
from search.cli.root import Json, app, local_settings

db_app = typer.Typer(cls=NamedCommands, help="The database.", no_args_is_help=True)
app.add_typer(db_app, name="db")


@db_app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="File to write; it must not exist.", metavar="FILE")], json: Json = False
) -> None:
    """Copy an SQLite database while searches run. The copy is a complete, consistent database."""
    from search.cli.output import print_json
    from search.store.backup import back_up

    settings = local_settings("db")
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

    settings = local_settings("db")
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

    collect(local_settings("gc-files"), older_than, unknown, yes, json)
